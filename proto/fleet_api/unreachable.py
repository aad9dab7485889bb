"""Why a fleet port cannot be used: the codes, with words and a cure for each.

Pure. Called by `probe`, which finds out; the codes are those that operators see beside an unreachable host.
"""

import errno
import ssl
from collections.abc import Sequence

from fleet_api.errors import Unavailable

NAME_NOT_FOUND = "NAME_NOT_FOUND"
CONNECTION_REFUSED = "CONNECTION_REFUSED"
CONNECT_TIMED_OUT = "CONNECT_TIMED_OUT"
NO_ROUTE = "NO_ROUTE"
CERTIFICATE_EXPIRED = "CERTIFICATE_EXPIRED"
CERTIFICATE_NOT_YET_VALID = "CERTIFICATE_NOT_YET_VALID"
OWN_CERTIFICATE_EXPIRED = "OWN_CERTIFICATE_EXPIRED"
OWN_CERTIFICATE_NOT_YET_VALID = "OWN_CERTIFICATE_NOT_YET_VALID"
WRONG_NAME = "WRONG_NAME"
UNKNOWN_CA = "UNKNOWN_CA"
CERTIFICATE_REFUSED = "CERTIFICATE_REFUSED"
NOT_A_FLEET_PORT = "NOT_A_FLEET_PORT"
NOT_ANSWERING = "NOT_ANSWERING"

SILENT_HINT = (
    "the host or its agent may be stopped, overloaded or cut off; its processes do not depend on that"
)
"""What to think of a host that says nothing, whoever found it out."""

# The numbers are OpenSSL's X509_V_ERR_*, which Python does not name.
_EXPIRED, _NOT_YET_VALID = 10, 9
_WRONG_NAME = {62, 64}
_WRONG_PURPOSE = 26

_ALERT_WORDS = {
    "UNKNOWN_CA": "it does not know the CA of our certificate",
    "CERTIFICATE_EXPIRED": "it holds our certificate for expired (compare the clocks)",
    "CERTIFICATE_REQUIRED": "it did not get a certificate from us",
    "CERTIFICATE_REVOKED": "it holds our certificate for revoked",
    "UNSUPPORTED_CERTIFICATE": "our certificate is not one for clients",
    "BAD_CERTIFICATE": "it cannot use our certificate",
    "CERTIFICATE_UNKNOWN": "it does not accept our certificate",
    "ACCESS_DENIED": "it denies us access",
    "DECRYPT_ERROR": "it cannot verify our signature",
    "HANDSHAKE_FAILURE": "it broke off the handshake",
}

# The most telling first, where a name has several addresses.
_CONNECT_ORDER = (CONNECTION_REFUSED, CONNECT_TIMED_OUT, NO_ROUTE)


def name_not_found(host: str, why: str) -> Unavailable:
    """No address for a host name."""
    return Unavailable(
        NAME_NOT_FOUND,
        f"the name {host} has no address: {why}",
        "correct the address of the host, or its DNS",
    )


def connect_failed(where: str, error: OSError) -> Unavailable:
    """The TCP connection to one address did not come about; TimeoutError is an OSError too."""
    if isinstance(error, TimeoutError):
        return Unavailable(
            CONNECT_TIMED_OUT,
            f"{where} did not take the connection in time",
            "is the host up? does a firewall drop packets to this port?",
        )
    if error.errno in (errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED):
        return Unavailable(
            CONNECTION_REFUSED,
            f"{where} refuses connections",
            "is the agent running there (systemctl status fleet-agent)? is the port right?",
        )
    return Unavailable(
        NO_ROUTE, f"no way to {where}: {error.strerror or error}", "check the network and the address"
    )


def most_telling(failures: Sequence[Unavailable]) -> Unavailable:
    """The failure to show when every address of a host failed; `failures` is not empty."""
    return min(failures, key=lambda failure: _CONNECT_ORDER.index(failure.code))


def not_answering(where: str, timeout: float) -> Unavailable:
    """The port takes connections and says nothing."""
    return Unavailable(
        NOT_ANSWERING,
        f"{where} takes connections but did not answer within {timeout:g} s",
        SILENT_HINT,
    )


def not_a_fleet_port(where: str, first_bytes: bytes) -> Unavailable:
    """Something else listens there; `first_bytes` is what it said instead of TLS with HTTP/2."""
    if first_bytes.startswith(b"HTTP/"):
        what = "speaks plain HTTP"
    elif first_bytes.startswith(b"SSH-"):
        what = "is an SSH server"
    elif is_http2(first_bytes):
        what = "speaks gRPC without TLS"
    elif not first_bytes:
        what = "closed the connection instead of a TLS handshake"
    elif first_bytes[0] in (0x15, 0x16):
        what = "speaks TLS, but not HTTP/2"
    else:
        what = f"speaks another protocol (its first bytes: {first_bytes[:16]!r})"
    return Unavailable(
        NOT_A_FLEET_PORT, f"{where} {what}", "check the port: agents listen on 7601, controllers on 7600"
    )


def is_http2(first_bytes: bytes) -> bool:
    """Whether these bytes begin an HTTP/2 connection: a SETTINGS frame of stream 0."""
    return len(first_bytes) >= 9 and first_bytes[3] == 4 and first_bytes[5:9] == b"\0\0\0\0"


def peer_not_trusted(
    where: str, server_name: str, error: ssl.SSLCertVerificationError, said: str, peer_names: str
) -> Unavailable:
    """Their certificate did not pass our check.

    `said` tells of its dates, `peer_names` whom it names; both "" when it could not be read.
    """
    code = error.verify_code
    if code == _EXPIRED:
        return Unavailable(
            CERTIFICATE_EXPIRED,
            f"{where}: {said or 'its certificate, or the CA, has expired'}",
            "renew it: fleetctl pki issue agent, then install it on the host",
        )
    if code == _NOT_YET_VALID:
        return Unavailable(
            CERTIFICATE_NOT_YET_VALID,
            f"{where}: {said or 'its certificate, or the CA, is not valid yet'}",
            "compare the clocks of both hosts",
        )
    if code in _WRONG_NAME:
        shown = f"names {peer_names}, not" if peer_names else "is not for"
        return Unavailable(
            WRONG_NAME,
            f"{where}: its certificate {shown} {server_name}",
            "does the address belong to another host? correct address or host id",
        )
    if code == _WRONG_PURPOSE:
        return Unavailable(
            WRONG_NAME,
            f"{where}: its certificate ({peer_names or 'unnamed'}) is not one for servers",
            "install one made by: fleetctl pki issue agent",
        )
    return Unavailable(
        UNKNOWN_CA,
        f"{where}: its certificate is not from a CA that we trust ({error.verify_message})",
        "is it an agent of another fleet? otherwise compare ca.crt on both sides",
    )


def handshake_failed(where: str, error: ssl.SSLError, first_bytes: bytes) -> Unavailable:
    """The handshake, or the first read after it, ended with a TLS error."""
    reason = error.reason or ""
    alert = reason.partition("_ALERT_")[2]
    if alert in _ALERT_WORDS:
        return certificate_refused(where, _ALERT_WORDS[alert])
    if alert == "NO_APPLICATION_PROTOCOL" or not alert:
        return not_a_fleet_port(where, first_bytes)
    return Unavailable(
        NOT_A_FLEET_PORT,
        f"{where} broke off the TLS handshake: {alert.lower().replace('_', ' ')}",
        "check the port, and the TLS versions of both sides",
    )


def closed_in_handshake(where: str, first_bytes: bytes) -> Unavailable:
    """The connection ended without a TLS error, before HTTP/2 began."""
    if first_bytes[:1] == b"\x16":
        # Its own part was fine; what it saw last is our certificate.
        return certificate_refused(where, "it closed the connection after seeing it")
    return not_a_fleet_port(where, first_bytes)


def certificate_refused(where: str, why: str) -> Unavailable:
    """They do not accept our certificate."""
    return Unavailable(
        CERTIFICATE_REFUSED,
        f"{where} refuses our certificate: {why}",
        "take a certificate of this fleet, for a user or a controller: fleetctl pki issue",
    )
