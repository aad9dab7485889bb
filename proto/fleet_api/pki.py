"""The fleet's own CA: makes it, issues certificates, describes them. Bytes in, bytes out.

Called by `fleetctl pki` and by the controller. Keys are P-256. A CA may sign identities of its own fleet
only (name constraint on the URI) and no further CA (path length 0).
"""

import ipaddress
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fleet_api import address, identity
from fleet_api.errors import BadRequest, Denied, FleetError
from fleet_api.identity import Identity, Role

# Clocks of hosts differ; a new certificate must be good on all of them.
BACKDATE = timedelta(minutes=5)
MAX_DAYS = 36_500
_MAX_COMMON_NAME = 64
_TIME = "%Y-%m-%d %H:%M:%S UTC"

_PURPOSES = {
    Role.AGENT: [ExtendedKeyUsageOID.SERVER_AUTH],
    Role.CONTROLLER: [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
    Role.OPERATOR: [ExtendedKeyUsageOID.CLIENT_AUTH],
}


class Issued(NamedTuple):
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Issued(...)"


class Description(NamedTuple):
    """What a certificate says; times are seconds since the epoch."""

    subject: str
    identity: Identity | None
    fingerprint: str
    serial: str
    not_before: float
    not_after: float
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]
    is_ca: bool


def create_ca(fleet: str, days: float, now: float) -> Issued:
    """A new CA for `fleet`, valid for `days` from `now` (seconds since the epoch).

    Raises: BadRequest for a name or a time that cannot be.
    """
    identity.check_fleet(fleet)
    start = _moment(now)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{fleet} fleet CA")
    subject_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    constraint = x509.NameConstraints(
        permitted_subtrees=[x509.UniformResourceIdentifier(fleet)], excluded_subtrees=None
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATE)
        .not_valid_after(start + _span(days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_ca=True), critical=True)
        .add_extension(constraint, critical=True)
        .add_extension(subject_id, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(subject_id), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    return _issued(certificate, key)


def issue(
    ca_certificate: bytes,
    ca_key: bytes,
    holder: Identity,
    *,
    days: float,
    now: float,
    dns_names: Sequence[str] = (),
    ip_addresses: Sequence[str] = (),
) -> Issued:
    """A certificate with a new key for `holder`, valid for `days` from `now` but never longer than the CA.

    Raises: BadRequest for a wrong name, address or CA file; Denied when the CA is of another fleet, has
    expired, or a name asked for would speak for somebody else in the fleet.
    """
    authority, authority_key = load_ca(ca_certificate, ca_key)
    holder = identity.make(holder.fleet, holder.role, holder.name)
    start = _moment(now)
    ca_start, ca_end = authority.not_valid_before_utc, authority.not_valid_after_utc
    if start >= ca_end:
        raise Denied("CA_EXPIRED", f"the CA expired at {ca_end:{_TIME}}", "make a new one: fleetctl pki init")
    end = min(start + _span(days), ca_end)
    if end <= ca_start:
        raise Denied("CA_NOT_YET_VALID", f"the CA is valid from {ca_start:{_TIME}}", "is the clock right?")
    fleet = ca_fleet(authority)
    if fleet != holder.fleet:
        raise Denied("WRONG_FLEET", f"this is the CA of fleet {fleet}, not of {holder.fleet}")
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(str(holder)))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(start - BACKDATE, ca_start))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(_PURPOSES[holder.role]), critical=False)
        .add_extension(_alternative_names(holder, dns_names, ip_addresses), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    return _issued(certificate, key)


def describe(certificate: bytes) -> Description:
    """What this PEM certificate says.

    Raises: BadRequest when it is none.
    """
    loaded = _load_certificate(certificate)
    try:
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        dns_names = tuple(names.get_values_for_type(x509.DNSName))
        ip_addresses = tuple(str(ip) for ip in names.get_values_for_type(x509.IPAddress))
    except x509.ExtensionNotFound:
        dns_names, ip_addresses = (), ()
    try:
        holder = identity.from_certificate(certificate)
    except FleetError:
        holder = None
    return Description(
        subject=loaded.subject.rfc4514_string(),
        identity=holder,
        fingerprint=fingerprint(certificate),
        serial=f"{loaded.serial_number:x}",
        not_before=loaded.not_valid_before_utc.timestamp(),
        not_after=loaded.not_valid_after_utc.timestamp(),
        dns_names=dns_names,
        ip_addresses=ip_addresses,
        is_ca=_is_ca(loaded),
    )


def fingerprint(certificate: bytes) -> str:
    """SHA-256 over the DER form: AB:CD:..., as other tools print it.

    Raises: BadRequest when this is no PEM certificate.
    """
    return _load_certificate(certificate).fingerprint(hashes.SHA256()).hex(":").upper()


def load_ca(ca_certificate: bytes, ca_key: bytes) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The CA in these PEM texts.

    Raises: BadRequest when they are no CA, or not a pair.
    """
    certificate = _load_certificate(ca_certificate)
    if not _is_ca(certificate):
        raise BadRequest("NOT_A_CA", f"the certificate of {certificate.subject.rfc4514_string()} is no CA")
    try:
        key = load_pem_private_key(ca_key, password=None)
    except Exception as error:  # cryptography has several classes for "this is no key"
        raise BadRequest("CREDENTIALS_MALFORMED", "the CA key is no unencrypted PEM private key") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadRequest("CREDENTIALS_MALFORMED", "the CA key is not on an elliptic curve")
    if key.public_key() != certificate.public_key():
        raise BadRequest("KEY_DOES_NOT_FIT", "the CA key is not the key of the CA certificate")
    return certificate, key


def ca_fleet(certificate: x509.Certificate) -> str:
    """The fleet a CA signs for, from its name constraint.

    Raises: BadRequest when it has none.
    """
    try:
        constraint = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
        fleets = [
            tree.value
            for tree in constraint.permitted_subtrees or ()
            if isinstance(tree, x509.UniformResourceIdentifier)
        ]
    except (x509.ExtensionNotFound, ValueError):
        fleets = []
    if len(fleets) != 1:
        raise BadRequest("NOT_A_FLEET_CA", "the CA does not say which fleet it is for", "fleetctl pki init")
    return fleets[0]


def _alternative_names(
    holder: Identity, dns_names: Sequence[str], ip_addresses: Sequence[str]
) -> x509.SubjectAlternativeName:
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(holder.uri)]
    if holder.role is Role.OPERATOR and (dns_names or ip_addresses):
        raise BadRequest("NAME_NOT_ALLOWED", "a user serves nothing: no DNS names or IP addresses")
    wanted = list(dict.fromkeys([holder.dns_name, *(name.lower().rstrip(".") for name in dns_names)]))
    for name in wanted if holder.dns_name else ():
        if not address.is_host_name(name) or len(name) > identity.MAX_DNS_NAME:
            raise BadRequest("NAME_MALFORMED", f"{name[:80]!r} is no DNS name")
        # Peers are checked by these names: one more would be the right to pose as another host.
        reserved = any(name.endswith(f".{role.value}.{holder.fleet}") for role in Role)
        if reserved and name != holder.dns_name:
            raise Denied("NAME_NOT_ALLOWED", f"{name} speaks for somebody else than {holder}")
        names.append(x509.DNSName(name))
    for text in dict.fromkeys(ip_addresses):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError as error:
            raise BadRequest("ADDRESS_MALFORMED", f"{text[:80]!r} is no IP address") from error
    return x509.SubjectAlternativeName(names)


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    # For people only; the SAN decides.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_MAX_COMMON_NAME])])


def _span(days: float) -> timedelta:
    if not 0 < days <= MAX_DAYS:
        raise BadRequest("DAYS_OUT_OF_RANGE", f"{days:g} days; allowed: more than 0, at most {MAX_DAYS}")
    return timedelta(days=days)


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(int(now), UTC)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _load_certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise BadRequest("CREDENTIALS_MALFORMED", f"this is no PEM certificate: {error}") from error


def _issued(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Issued:
    return Issued(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
