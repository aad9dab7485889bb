"""Who a certificate speaks for: role, name and fleet, as its SAN URI states them.

`spiffe://<fleet>/agent/<host-id>`, `spiffe://<fleet>/controller/<name>`, `spiffe://<fleet>/user/<name>`.
Called by every door that asks "who is calling?", and by `tls` and `pki`. A door asks gRPC, which has read
the certificate already: cryptography is imported only where a certificate comes from a file.
"""

import base64
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from fleet_api.errors import BadRequest, Denied

URI_SCHEME = "spiffe://"
MAX_DNS_NAME = 253
MAX_URI = 2048

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS_LIKE = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_USER = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.@+-]{0,126}[A-Za-z0-9_])?")


class Role(StrEnum):
    """What the holder of a certificate may be; the value stands in its URI."""

    AGENT = "agent"
    CONTROLLER = "controller"
    OPERATOR = "user"


class Identity(NamedTuple):
    """One holder of a certificate. Built by `make`, `from_uri` or `from_certificate`, which check it."""

    fleet: str
    role: Role
    name: str

    @property
    def uri(self) -> str:
        """The SAN URI of its certificate."""
        return f"{URI_SCHEME}{self.fleet}/{self.role.value}/{self.name}"

    @property
    def dns_name(self) -> str:
        """The DNS SAN by which a server of this identity is checked; "" for operators, who serve nothing."""
        if self.role is Role.OPERATOR:
            return ""
        return f"{self.name}.{self.role.value}.{self.fleet}"

    def __str__(self) -> str:
        return f"{self.role.value}/{self.name}"


def make(fleet: str, role: Role, name: str) -> Identity:
    """The identity of these parts.

    Raises: BadRequest naming the part that cannot stand in a certificate.
    """
    check_fleet(fleet)
    identity = Identity(fleet, role, name)
    if role is Role.OPERATOR:
        if not _USER.fullmatch(name):
            raise _bad_name("user", name, "up to 128 letters, digits and _ . @ + -, no . @ + - at an end")
        return identity
    if not _DNS_LIKE.fullmatch(name):
        raise _bad_name(role.value, name, _DNS_RULE)
    if len(identity.dns_name) > MAX_DNS_NAME:
        raise BadRequest(
            "NAME_TOO_LONG",
            f"{identity.dns_name[:40]}... has {len(identity.dns_name)} characters",
            f"a DNS name has {MAX_DNS_NAME} at most",
        )
    return identity


def check_fleet(fleet: str) -> None:
    """Raises: BadRequest when `fleet` cannot be the name of a fleet."""
    if len(fleet) > MAX_DNS_NAME or not _DNS_LIKE.fullmatch(fleet):
        raise _bad_name("fleet", fleet, _DNS_RULE)


_DNS_RULE = "lower-case letters, digits, - and _ in labels of at most 63, separated by dots"


def _bad_name(what: str, name: str, rule: str) -> BadRequest:
    shown = f"{name[:60]!r}{'...' if len(name) > 60 else ''}"
    return BadRequest("NAME_MALFORMED", f"{shown} cannot be the name of a {what}", f"allowed: {rule}")


def from_uri(uri: str) -> Identity:
    """The identity that a SAN URI states.

    Raises: BadRequest when it states none.
    """
    shown = repr(uri[:80])
    parts = uri.removeprefix(URI_SCHEME).split("/")
    if len(uri) > MAX_URI or not uri.startswith(URI_SCHEME) or len(parts) != 3:
        raise BadRequest(
            "IDENTITY_MALFORMED",
            f"{shown} is no identity",
            "it reads spiffe://<fleet>/agent|controller|user/<name>",
        )
    fleet, role_word, name = parts
    try:
        role = Role(role_word)
    except ValueError:
        raise BadRequest(
            "IDENTITY_MALFORMED",
            f"{shown} has the unknown role {role_word[:40]!r}",
            "agent, controller or user",
        ) from None
    return make(fleet, role, name)


def from_certificate(pem: bytes) -> Identity:
    """The identity of a certificate (the first one, if `pem` holds a chain).

    Raises: Denied when it is unreadable or does not carry exactly one URI, that of a fleet.
    """
    from cryptography import x509  # noqa: PLC0415

    try:
        certificate = x509.load_pem_x509_certificate(pem)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    except (ValueError, TypeError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise Denied("CERTIFICATE_MALFORMED", f"the certificate cannot be read: {error}") from error
    return _the_only_one(uris, certificate.subject.rfc4514_string())


def from_auth_context(auth_context: Mapping[str, Iterable[bytes]]) -> Identity:
    """Who is calling, from `ServicerContext.auth_context()`; TLS has already checked the certificate.

    Raises: Denied when there is no certificate or no identity in it.
    """
    pem = next(iter(auth_context.get("x509_pem_cert", ())), None)
    if pem is None:
        raise Denied(
            "CERTIFICATE_MISSING",
            "the call came without a certificate",
            "connect with a certificate of this fleet",
        )
    subject = _text(next(iter(auth_context.get("x509_subject", ())), b""))
    uris = [_text(uri) for uri in auth_context.get("peer_uri", ())]
    holder = _the_only_one(uris, subject)
    if _is_cut_off(uris[0], pem):
        raise _without_identity(subject, f"a URI with a NUL in it, after {uris[0][:80]!r}")
    return holder


def _the_only_one(uris: Sequence[str], subject: str) -> Identity:
    # Of two, whatever they are, each reader might take another one.
    if len(uris) != 1:
        raise _without_identity(
            subject, "no fleet identity" if not uris else f"{len(uris)} URIs instead of one"
        )
    try:
        return from_uri(uris[0])
    except BadRequest as error:
        raise Denied(
            "CERTIFICATE_WITHOUT_IDENTITY", f"in the certificate: {error.message}", error.hint
        ) from error


def _without_identity(subject: str, what: str) -> Denied:
    return Denied(
        "CERTIFICATE_WITHOUT_IDENTITY",
        f"the certificate {subject[:80]!r} carries {what}",
        "issue one with `fleetctl pki issue`",
    )


def _is_cut_off(uri: str, pem: bytes) -> bool:
    """Whether the certificate (the first one of `pem`) goes on with a NUL where this URI ends.

    gRPC hands texts on up to their first NUL: of a longer URI it shows an innocent beginning.
    """
    body = pem.partition(b"-----BEGIN CERTIFICATE-----")[2].partition(b"-----END CERTIFICATE-----")[0]
    return uri.encode() + b"\0" in base64.b64decode(body)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def require(peer: Identity, fleet: str, roles: Collection[Role]) -> None:
    """Raises: Denied unless `peer` belongs to `fleet` and has one of `roles`."""
    if peer.fleet != fleet:
        raise Denied("WRONG_FLEET", f"{peer} belongs to fleet {peer.fleet}, this is fleet {fleet}")
    if peer.role not in roles:
        allowed = " or ".join(sorted(role.value for role in roles))
        raise Denied("ROLE_NOT_ALLOWED", f"{peer} may not do this; it takes the role {allowed}")
