"""`fleetctl pki` on real files: what it writes, with which modes, and what it leaves alone."""

import io
import os
import stat
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from fleet_api import identity, pki, tls
from fleet_api.identity import Role
from fleet_cli import main
from fleet_cli.invocation import Invocation
from fleet_cli.terminal import Terminal

NOW = float(int(time.time()))
DAY = 86400.0


class Ended(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


def _run(*arguments: str, now: float = NOW) -> Ended:
    out, err = io.StringIO(), io.StringIO()
    invocation = Invocation(
        environ={},
        uid=os.geteuid(),
        user="tester",
        stdin=io.StringIO(),
        stdout=out,
        stderr=err,
        terminal=Terminal(),
        clock=time.monotonic,
        wall=lambda: now,
        sleep=lambda _: None,
        new_id=lambda: "1",
    )
    code = main.run(["pki", *arguments], invocation)
    return Ended(code, out.getvalue(), err.getvalue())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pki"
    assert _run("init", "--fleet", "prod", "--dir", str(made)).code == 0
    return made


def _issue(folder: Path, *arguments: str, now: float = NOW) -> Ended:
    return _run("issue", *arguments, "--dir", str(folder), now=now)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), _mode(path)) for path in folder.iterdir() if path.is_file()}


def test_init_makes_a_ca_in_a_closed_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "pki"
    ended = _run("init", "--fleet", "prod", "--dir", str(folder), "--days", "10")
    assert ended.code == 0
    assert _mode(folder) == 0o700
    assert _mode(folder / "ca.key") == 0o600
    described = pki.describe((folder / "ca.crt").read_bytes())
    assert described.is_ca
    assert described.not_after == NOW + 10 * DAY
    assert f"wrote {folder}/ca.key" in ended.out
    assert f"wrote {folder}/ca.crt" in ended.out
    assert "fleet prod" in ended.out
    assert described.fingerprint in ended.out
    assert "PRIVATE" not in ended.out + ended.err


def test_keys_are_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert _run("init", "--fleet", "prod", "--dir", str(tmp_path / "pki")).code == 0
        assert _issue(tmp_path / "pki", "agent", "web1").code == 0
    finally:
        os.umask(before)
    assert _mode(tmp_path / "pki") == 0o700
    assert _mode(tmp_path / "pki" / "ca.key") == _mode(tmp_path / "pki" / "web1.key") == 0o600


@pytest.mark.parametrize("left", [("ca.crt", "ca.key"), ("ca.key",), ("ca.crt",)])
def test_init_leaves_an_existing_ca_alone(folder: Path, left: tuple[str, ...]) -> None:
    for name in ("ca.crt", "ca.key"):
        if name not in left:
            (folder / name).unlink()
    before = _snapshot(folder)
    ended = _run("init", "--fleet", "prod", "--dir", str(folder))
    assert ended.code != 0
    assert f"{folder}/{left[-1]} is there already" in ended.err
    assert _snapshot(folder) == before


@pytest.mark.parametrize("role", list(Role))
def test_issue_writes_credentials_that_load(folder: Path, tmp_path: Path, role: Role) -> None:
    out = tmp_path / "out"
    ended = _issue(folder, role.value, "x1", "--out", str(out))
    assert ended.code == 0
    credentials = tls.load(str(out / "x1.crt"), str(out / "x1.key"), str(out / "ca.crt"), NOW)
    assert credentials.identity == identity.make("prod", role, "x1")
    described = pki.describe(credentials.certificate)
    assert described.not_after == NOW + 90 * DAY
    assert described.fingerprint in ended.out
    assert sorted(os.listdir(out)) == ["ca.crt", "x1.crt", "x1.key"]
    assert _mode(out) == 0o700
    assert _mode(out / "x1.key") == 0o600


def test_issue_beside_the_ca_does_not_touch_it(folder: Path) -> None:
    before = _snapshot(folder)
    assert _issue(folder, "agent", "web1", "--force").code == 0
    after = _snapshot(folder)
    assert {name: after[name] for name in before} == before


def test_issue_adds_names_and_addresses(folder: Path) -> None:
    arguments = (
        "--dns",
        "web1.example.org",
        "--dns",
        "w",
        "--ip",
        "127.0.0.1",
        "--ip",
        "::1",
        "--days",
        "0.5",
    )
    assert _issue(folder, "agent", "web1", *arguments).code == 0
    described = pki.describe((folder / "web1.crt").read_bytes())
    assert described.dns_names == ("web1.agent.prod", "web1.example.org", "w")
    assert described.ip_addresses == ("127.0.0.1", "::1")
    assert described.not_after == NOW + DAY / 2


@pytest.mark.parametrize("existing", ["web1.key", "web1.crt"])
def test_issue_overwrites_only_when_forced(folder: Path, existing: str) -> None:
    (folder / existing).write_text("precious")
    before = _snapshot(folder)
    ended = _issue(folder, "agent", "web1")
    assert ended.code != 0
    assert f"{folder}/{existing} is there already" in ended.err
    assert "--force" in ended.err
    assert _snapshot(folder) == before
    assert _issue(folder, "agent", "web1", "--force").code == 0
    assert tls.load(str(folder / "web1.crt"), str(folder / "web1.key"), str(folder / "ca.crt"), NOW)
    assert _mode(folder / "web1.key") == 0o600


def test_issue_does_not_follow_a_link_that_lies_in_its_way(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / "web1.key").symlink_to(victim)
    assert _issue(folder, "agent", "web1").code != 0
    assert _issue(folder, "agent", "web1", "--force").code == 0
    assert victim.read_text() == "precious"
    assert not (folder / "web1.key").is_symlink()


def test_a_ca_key_open_to_others_is_refused(folder: Path) -> None:
    (folder / "ca.key").chmod(0o644)
    before = _snapshot(folder)
    ended = _issue(folder, "agent", "web1")
    assert ended.code == 9
    assert "ca.key is open to others (mode 0644)" in ended.err
    assert f"chmod 600 {folder}/ca.key" in ended.err
    assert _snapshot(folder) == before


@pytest.mark.parametrize("name", ["ca", "CA", "../x", "a/b", ".", "", "a\nb", "--", "Web1"])
def test_names_that_cannot_be_files_or_hosts_are_refused(folder: Path, name: str) -> None:
    before = _snapshot(folder)
    ended = _run("issue", "--dir", str(folder), "--force", "--", "agent", name)
    assert ended.code != 0
    assert _snapshot(folder) == before
    assert not (folder.parent / "x.key").exists()


def test_a_user_called_ca_would_replace_the_ca(folder: Path) -> None:
    ended = _issue(folder, "user", "ca", "--force")
    assert ended.code != 0
    assert "cannot be called ca" in ended.err


def test_a_folder_that_others_can_write_to_is_refused(folder: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    ended = _issue(folder, "agent", "web1", "--out", str(shared))
    assert ended.code == 1
    assert "mode 0777" in ended.err
    assert os.listdir(shared) == []


def test_a_folder_without_ca_is_told(tmp_path: Path) -> None:
    ended = _issue(tmp_path, "agent", "web1")
    assert ended.code == 1
    assert f"{tmp_path}/ca.crt" in ended.err
    assert "fleetctl pki init" in ended.err


def test_a_file_in_place_of_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = _run("init", "--fleet", "prod", "--dir", str(tmp_path / "file" / "pki"))
    assert ended.code == 1
    assert "Not a directory" in ended.err


def test_another_ca_in_the_target_folder_is_not_replaced_silently(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    assert _run("init", "--fleet", "prod", "--dir", str(other)).code == 0
    before = _snapshot(other)
    assert _issue(folder, "agent", "web1", "--out", str(other)).code != 0
    assert _snapshot(other) == before


def test_a_failed_write_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(os.listdir(folder))
    monkeypatch.setattr(os, "fsync", _disk_is_full)
    ended = _issue(folder, "agent", "web1")
    assert ended.code != 0
    assert "No space left" in ended.err
    assert sorted(os.listdir(folder)) == before


def _disk_is_full(_: int) -> None:
    raise OSError(28, "No space left on device")


def test_show_says_whom_and_until_when(folder: Path) -> None:
    _issue(folder, "agent", "web1", "--days", "2")
    shown = _run("show", str(folder / "web1.crt"), str(folder / "ca.crt"), now=NOW + DAY)
    assert shown.code == 0
    assert "agent/web1 of fleet prod" in shown.out
    assert "web1.agent.prod" in shown.out
    assert "(24 h left)" in shown.out
    late = _run("show", str(folder / "web1.crt"), now=NOW + 5 * DAY)
    assert "(expired 3 d ago)" in late.out
    assert _run("show", str(folder / "web1.key")).code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "--fleet", "Prod"),
        ("init", "--fleet", "prod", "--days", "0"),
        ("init", "--fleet", "prod", "--days", "nan"),
        ("init",),
        ("issue", "root", "web1"),
        ("issue", "agent"),
    ],
)
def test_mistakes_in_the_command_write_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = _run(*arguments, "--dir", str(tmp_path / "pki"))
    assert ended.code == 1
    assert ended.err
    assert not (tmp_path / "pki").exists()
