"""The words for each reason; that `probe` finds the right one is tested there."""

import errno
import ssl

import pytest
from fleet_api import unreachable
from fleet_api.errors import Unavailable

pytestmark = pytest.mark.pure


def _tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), unreachable.CONNECTION_REFUSED),
        (ConnectionResetError(errno.ECONNRESET, "reset"), unreachable.CONNECTION_REFUSED),
        (TimeoutError(), unreachable.CONNECT_TIMED_OUT),
        (OSError(errno.ETIMEDOUT, "timed out"), unreachable.CONNECT_TIMED_OUT),
        (OSError(errno.EHOSTUNREACH, "no route to host"), unreachable.NO_ROUTE),
        (OSError(errno.ENETUNREACH, "network is unreachable"), unreachable.NO_ROUTE),
        (PermissionError(errno.EPERM, "not permitted"), unreachable.NO_ROUTE),
    ],
)
def test_connect_errors(error: OSError, code: str) -> None:
    told = unreachable.connect_failed("web1:7601", error)
    assert told.code == code
    assert "web1:7601" in told.message
    assert told.hint


def test_of_several_addresses_the_one_that_answered_counts_most() -> None:
    refused, timed_out, no_route = (
        unreachable.connect_failed("a:1", error)
        for error in (
            ConnectionRefusedError(errno.ECONNREFUSED, ""),
            TimeoutError(),
            OSError(errno.ENETUNREACH, ""),
        )
    )
    assert unreachable.most_telling([no_route, timed_out, refused]) is refused
    assert unreachable.most_telling([no_route, timed_out]) is timed_out


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", "does not know the CA"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", "expired"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "did not get a certificate"),
        ("SSLV3_ALERT_CERTIFICATE_REVOKED", "revoked"),
        ("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "not one for clients"),
        ("SSLV3_ALERT_BAD_CERTIFICATE", "cannot use"),
    ],
)
def test_alerts_about_our_certificate(reason: str, words: str) -> None:
    told = unreachable.handshake_failed("web1:7601", _tls_error(reason), b"\x16\x03")
    assert told.code == unreachable.CERTIFICATE_REFUSED
    assert words in told.message
    assert "fleetctl pki issue" in told.hint


@pytest.mark.parametrize(
    "reason", ["WRONG_VERSION_NUMBER", "TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "", "X_ALERT_NEW"]
)
def test_other_tls_errors_mean_another_port(reason: str) -> None:
    told = unreachable.handshake_failed("web1:7601", _tls_error(reason), b"\x15\x03")
    assert told.code == unreachable.NOT_A_FLEET_PORT


@pytest.mark.parametrize(
    ("verify_code", "code"),
    [
        (10, unreachable.CERTIFICATE_EXPIRED),
        (9, unreachable.CERTIFICATE_NOT_YET_VALID),
        (62, unreachable.WRONG_NAME),
        (26, unreachable.WRONG_NAME),
        (18, unreachable.UNKNOWN_CA),
        (19, unreachable.UNKNOWN_CA),
        (20, unreachable.UNKNOWN_CA),
        (7, unreachable.UNKNOWN_CA),
        (47, unreachable.UNKNOWN_CA),
    ],
)
def test_verdicts_on_their_certificate_also_when_it_could_not_be_read(verify_code: int, code: str) -> None:
    error = ssl.SSLCertVerificationError(1, "no")
    error.verify_code = verify_code
    error.verify_message = "as it is"
    told = unreachable.peer_not_trusted("web1:7601", "web1.agent.prod", error, "", "")
    assert isinstance(told, Unavailable)
    assert told.code == code
    assert told.message.startswith("web1:7601")
    assert told.hint


@pytest.mark.parametrize(
    ("first", "is_settings"),
    [
        (b"\0\0\0\4\0\0\0\0\0", True),
        (b"\0\0\x12\4\0\0\0\0\0xyz", True),
        (b"\0\0\0\4\0\0\0\0\1", False),
        (b"\0\0\0\4", False),
        (b"", False),
        (b"HTTP/1.1 200 OK", False),
    ],
)
def test_the_first_frame_of_http2(first: bytes, is_settings: bool) -> None:
    assert unreachable.is_http2(first) is is_settings
