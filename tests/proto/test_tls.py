"""What is wrong with one's own credentials is said before anyone connects."""

import os
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from fakes.certificates import Files, Pki, make
from fleet_api import tls
from fleet_api.errors import BadRequest, Denied, FleetError, NotFound
from fleet_api.identity import Role

NOW = float(int(time.time()))
HOUR = 3600.0
DAY = 86400.0


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return make(tmp_path_factory.mktemp("pki"), hosts=("web1", "db1"), now=NOW)


def _copy(files: Files, folder: Path) -> Files:
    """The same credentials in files that a test may spoil."""
    copied = files
    for field in ("certificate", "key", "ca"):
        path = folder / f"{field}.pem"
        path.write_bytes(Path(getattr(files, field)).read_bytes())
        path.chmod(0o600)
        copied = _with(copied, field, path)
    return copied


def _with(files: Files, field: str, path: Path) -> Files:
    return Files(**{**files._asdict(), field: str(path)})


def _refused(files: Files, now: float = NOW) -> FleetError:
    with pytest.raises(FleetError) as caught:
        tls.load(files.certificate, files.key, files.ca, now)
    return caught.value


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_good_credentials_are_loaded(pki: Pki, tmp_path: Path, mode: int) -> None:
    files = _copy(pki.agents["web1"], tmp_path)
    os.chmod(files.key, mode)
    found = tls.load(files.certificate, files.key, files.ca, NOW)
    assert found.identity.uri == "spiffe://test/agent/web1"
    assert found.key == Path(files.key).read_bytes()
    assert tls.from_pem(found.certificate, found.key, found.ca) == found


def test_the_key_does_not_show_in_words(pki: Pki) -> None:
    assert "PRIVATE" not in repr(pki.controller.load())
    assert "controller/main" in repr(pki.controller.load())


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620, 0o777])
def test_a_key_open_to_others_is_refused(pki: Pki, tmp_path: Path, mode: int) -> None:
    files = _copy(pki.controller, tmp_path)
    os.chmod(files.key, mode)
    error = _refused(files)
    assert isinstance(error, Denied)
    assert error.code == "KEY_READABLE_BY_OTHERS"
    assert files.key in error.message
    assert f"(mode {mode:04o})" in error.message
    assert error.hint == f"chmod 600 {files.key}"


def test_a_link_to_an_open_key_is_refused(pki: Pki, tmp_path: Path) -> None:
    files = _copy(pki.controller, tmp_path)
    link = tmp_path / "link.key"
    link.symlink_to(files.key)
    os.chmod(files.key, 0o644)
    assert _refused(files._replace(key=str(link))).code == "KEY_READABLE_BY_OTHERS"


@pytest.mark.parametrize("field", ["certificate", "key", "ca"])
def test_a_missing_file_is_named(pki: Pki, tmp_path: Path, field: str) -> None:
    missing = tmp_path / "missing"
    error = _refused(_with(pki.controller, field, missing))
    assert isinstance(error, NotFound)
    assert str(missing) in error.message


@pytest.mark.parametrize("field", ["certificate", "key", "ca"])
@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\xff" * 100, b"-----BEGIN X-----\nAAAA\n-----END X-----\n"]
)
def test_what_is_no_pem_is_named(pki: Pki, tmp_path: Path, field: str, content: bytes) -> None:
    files = _copy(pki.controller, tmp_path)
    path = getattr(files, field)
    Path(path).write_bytes(content)
    error = _refused(files)
    assert isinstance(error, BadRequest)
    assert path in error.message


@pytest.mark.parametrize("field", ["certificate", "key", "ca"])
def test_what_is_no_plain_file_is_refused_at_once(pki: Pki, tmp_path: Path, field: str) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", tmp_path):
        assert isinstance(_refused(_with(pki.controller, field, path)), BadRequest)


def test_a_huge_file_is_refused(pki: Pki, tmp_path: Path) -> None:
    huge = tmp_path / "huge"
    huge.touch(mode=0o600)
    os.truncate(huge, 1 << 40)
    assert "limit" in _refused(pki.controller._replace(key=str(huge))).message


def test_a_path_with_a_nul_is_refused(pki: Pki) -> None:
    assert isinstance(_refused(pki.controller._replace(key="a\0b")), Denied)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_we_may_not_read_is_named(pki: Pki, tmp_path: Path) -> None:
    files = _copy(pki.controller, tmp_path)
    os.chmod(files.certificate, 0)
    error = _refused(files)
    assert error.code == "CREDENTIALS_NOT_READABLE"
    assert files.certificate in error.message


def test_the_key_of_another_certificate_does_not_fit(pki: Pki) -> None:
    error = _refused(pki.agents["web1"]._replace(key=pki.agents["db1"].key))
    assert error.code == "KEY_DOES_NOT_FIT"
    assert pki.agents["db1"].key in error.message


def test_an_encrypted_key_is_told(pki: Pki, tmp_path: Path) -> None:
    files = _copy(pki.controller, tmp_path)
    key = serialization.load_pem_private_key(Path(files.key).read_bytes(), None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    Path(files.key).write_bytes(encrypted)
    error = _refused(files)
    assert error.code == "KEY_ENCRYPTED"
    assert files.key in error.message


def test_an_expired_certificate_tells_who_and_since_when(pki: Pki) -> None:
    error = _refused(pki.agents["web1"], NOW + DAY + 3 * HOUR + 60)
    assert isinstance(error, Denied)
    assert error.code == "CERTIFICATE_EXPIRED"
    assert error.message.startswith("certificate of agent/web1 expired 3 h ago (not after 20")


def test_a_certificate_from_the_future_is_refused(pki: Pki) -> None:
    error = _refused(pki.agents["web1"], NOW - HOUR)
    assert error.code == "CERTIFICATE_NOT_YET_VALID"
    assert "becomes valid in 55 min" in error.message
    assert "clock" in error.hint


def test_dates_are_looked_at_only_with_a_clock(pki: Pki) -> None:
    certificate, key, ca, _ = pki.operator.load()
    assert tls.from_pem(certificate, key, ca).identity.role is Role.OPERATOR
    with pytest.raises(Denied):
        tls.from_pem(certificate, key, ca, now=NOW + 5 * DAY)


def test_a_certificate_without_identity_is_refused(pki: Pki, tmp_path: Path) -> None:
    error = _refused(Files(pki.ca, pki.ca_key, pki.ca, pki.controller.identity))
    assert error.code == "CERTIFICATE_WITHOUT_IDENTITY"
    assert pki.ca in error.message


def test_a_certificate_of_another_ca_is_refused(pki: Pki, tmp_path: Path) -> None:
    other = make(tmp_path, now=NOW)
    assert _refused(pki.controller._replace(ca=other.ca)).code == "CERTIFICATE_OF_ANOTHER_CA"


def test_a_bundle_of_two_cas_serves_both(pki: Pki, tmp_path: Path) -> None:
    other = make(tmp_path / "other", now=NOW)
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes(Path(other.ca).read_bytes() + Path(pki.ca).read_bytes())
    for party in (pki.controller, other.controller):
        assert tls.load(party.certificate, party.key, str(bundle), NOW)


@pytest.mark.pure
@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0, "0 s"), (59.9, "59 s"), (60, "1 min"), (3600, "1 h"), (86400, "24 h"), (172800, "2 d")],
)
def test_durations_are_spoken_in_their_largest_unit(seconds: float, text: str) -> None:
    assert tls.spoken(seconds) == text
