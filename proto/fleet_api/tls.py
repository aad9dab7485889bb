"""A party's own credentials: certificate, key and the CA it trusts, checked before anyone connects.

Called by gateway, controller and fleetctl when they start, and by `probe`. What is wrong is told here,
in words; gRPC would only say "Socket closed".
"""

import os
import stat
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from fleet_api import identity
from fleet_api.credentials import Credentials
from fleet_api.errors import BadRequest, Denied, FleetError, NotFound

MAX_FILE_BYTES = 1024 * 1024


def load(certificate_path: str, key_path: str, ca_path: str, now: float) -> Credentials:
    """The credentials in these files, fit for use at `now` (seconds since the epoch).

    Raises: NotFound for a missing file, BadRequest for one that does not hold what it should, Denied for a
    key that others can read, a pair that does not fit, a certificate that is not valid now.
    """
    certificate = read_file(certificate_path, "certificate")
    key = read_file(key_path, "key", is_private=True)
    ca = read_file(ca_path, "CA")
    return _checked(certificate, key, ca, now, (certificate_path, key_path, ca_path))


def from_pem(certificate: bytes, key: bytes, ca: bytes, now: float | None = None) -> Credentials:
    """The credentials in these PEM texts; their dates are checked when `now` is given.

    Raises: as `load`.
    """
    return _checked(certificate, key, ca, now, ("the certificate", "the key", "the CA"))


def validity_problem(certificate: x509.Certificate, who: str, now: float) -> FleetError | None:
    """Why `certificate` is not valid at `now` (seconds since the epoch), or None; `who` holds it."""
    not_before = certificate.not_valid_before_utc.timestamp()
    not_after = certificate.not_valid_after_utc.timestamp()
    if now > not_after:
        return Denied(
            "CERTIFICATE_EXPIRED",
            f"certificate of {who} expired {spoken(now - not_after)} ago (not after {utc(not_after)})",
            "issue a new one with `fleetctl pki issue`",
        )
    if now < not_before:
        wait = spoken(not_before - now)
        return Denied(
            "CERTIFICATE_NOT_YET_VALID",
            f"certificate of {who} becomes valid in {wait} (not before {utc(not_before)})",
            "compare the clocks of both hosts",
        )
    return None


def spoken(seconds: float) -> str:
    """A duration in its largest unit: 45 s, 12 min, 3 h, 20 d."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit != "d" and seconds >= size):
            return f"{int(seconds // size)} {unit}"
    return f"{int(max(seconds, 0))} s"


def utc(moment: float) -> str:
    """A time (seconds since the epoch) as 2026-01-31 12:00:00 UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(moment))


def read_file(path: str, what: str, *, is_private: bool = False) -> bytes:
    """The content of a credential file; `what` names it in errors.

    Raises: NotFound, Denied (not readable; `is_private` and open to others) or BadRequest (no plain file).
    """
    try:
        # Not blocking: a FIFO in this place must not hang the start.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFound(
            "CREDENTIALS_NOT_FOUND", f"there is no {what} file {path}", "make one with `fleetctl pki issue`"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise Denied("CREDENTIALS_NOT_READABLE", f"{what} file {path!r}: {reason}") from error
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise BadRequest("CREDENTIALS_MALFORMED", f"{what} file {path} is not a regular file")
        if is_private:
            _check_private(path, info.st_mode)
        if info.st_size > MAX_FILE_BYTES:
            raise BadRequest(
                "CREDENTIALS_MALFORMED",
                f"{what} file {path} has {info.st_size} bytes; the limit is {MAX_FILE_BYTES}",
            )
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read(MAX_FILE_BYTES)
    finally:
        os.close(fd)


def _check_private(path: str, mode: int) -> None:
    if mode & 0o077:
        raise Denied(
            "KEY_READABLE_BY_OTHERS",
            f"key {path} is open to others (mode {stat.S_IMODE(mode):04o})",
            f"chmod 600 {path}",
        )


def _checked(
    certificate_pem: bytes, key_pem: bytes, ca_pem: bytes, now: float | None, places: tuple[str, str, str]
) -> Credentials:
    certificate_place, key_place, ca_place = places
    chain = _certificates(certificate_pem, certificate_place)
    authorities = _certificates(ca_pem, ca_place)
    _check_pair(chain[0], key_pem, certificate_place, key_place)
    try:
        holder = identity.from_certificate(certificate_pem)
    except Denied as error:
        raise Denied(error.code, f"{certificate_place}: {error.message}", error.hint) from error
    if now is not None and (problem := validity_problem(chain[0], str(holder), now)):
        raise problem
    if not any(_is_issued_by(member, authority) for member in chain for authority in authorities):
        raise Denied(
            "CERTIFICATE_OF_ANOTHER_CA",
            f"{certificate_place} of {holder} was not issued by {ca_place}",
            "take both from the same `fleetctl pki` directory",
        )
    return Credentials(certificate_pem, key_pem, ca_pem, holder)


def _certificates(pem: bytes, place: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise BadRequest("CREDENTIALS_MALFORMED", f"{place} holds no PEM certificate: {error}") from error


def _check_pair(
    certificate: x509.Certificate, key_pem: bytes, certificate_place: str, key_place: str
) -> None:
    try:
        key = load_pem_private_key(key_pem, password=None)
    except TypeError as error:
        raise BadRequest(
            "KEY_ENCRYPTED",
            f"{key_place} is encrypted; a service cannot ask for its passphrase",
            "store the key unencrypted, with mode 600",
        ) from error
    except Exception as error:  # cryptography has several classes for "this is no key"
        raise BadRequest("CREDENTIALS_MALFORMED", f"{key_place} holds no PEM private key") from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        fits = key.public_key().public_bytes(*form) == certificate.public_key().public_bytes(*form)
    except ValueError as error:
        raise BadRequest("CREDENTIALS_MALFORMED", f"{certificate_place}: {error}") from error
    if not fits:
        raise Denied(
            "KEY_DOES_NOT_FIT",
            f"{key_place} is not the key of {certificate_place}",
            "take certificate and key of the same issue",
        )


def _is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
