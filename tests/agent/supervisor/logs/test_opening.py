"""Whose links a log may be reached through: strangers' only within their own folders."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.descriptors import open_below
from fleet_agent.supervisor.logs import opening
from fleet_agent.supervisor.logs.opening import open_log, settled

WRITE = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
NOBODY = 65534
STRANGERS: frozenset[int] = frozenset()
"""Trusted users when every file of this test belongs to a stranger."""


@pytest.fixture(autouse=True)
def no_descriptor_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert open_below(tmp_path) == []


def put(path: Path | str, data: bytes, trusted: frozenset[int] | None = None) -> None:
    fd = open_log(str(path), WRITE, trusted=trusted)
    os.write(fd, data)
    os.close(fd)


@pytest.mark.parametrize("trusted", [None, STRANGERS], ids=["ours", "strangers"])
def test_a_plain_file_is_made_and_appended_to(tmp_path: Path, trusted: frozenset[int] | None) -> None:
    put(tmp_path / "out.log", b"one", trusted)
    put(tmp_path / "out.log", b"two", trusted)
    assert (tmp_path / "out.log").read_bytes() == b"onetwo"
    with pytest.raises(FileNotFoundError):
        open_log(str(tmp_path / "none" / "out.log"), WRITE, trusted=trusted)
    with pytest.raises(NotADirectoryError):
        open_log(str(tmp_path / "out.log" / "x"), WRITE, trusted=trusted)
    with pytest.raises(IsADirectoryError):
        open_log(str(tmp_path), WRITE, trusted=trusted)


def test_our_own_links_lead_anywhere(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "folder").symlink_to("real/../real")
    (tmp_path / "out.log").symlink_to(tmp_path / "folder" / "target")
    put(tmp_path / "out.log", b"x")
    assert (tmp_path / "real" / "target").read_bytes() == b"x"
    assert settled(str(tmp_path / "out.log")) == str(tmp_path / "real" / "target")


def test_a_strangers_link_leads_within_his_own_folders_alone(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "good").symlink_to("real/target")
    put(tmp_path / "good", b"x", STRANGERS)
    assert (tmp_path / "real" / "target").read_bytes() == b"x"
    owner_of_dev = os.stat("/dev").st_uid
    if owner_of_dev == os.geteuid():
        return  # the next test makes a real stranger
    (tmp_path / "bad").symlink_to("/dev/null")
    with pytest.raises(PermissionError, match="leads out of that user's folders"):
        open_log(str(tmp_path / "bad"), os.O_RDONLY, trusted=STRANGERS)


@pytest.mark.parametrize("where", ["file", "folder", "proc"])
@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of somebody else")
def test_root_is_not_led_astray_by_a_programs_user(tmp_path: Path, where: str) -> None:
    theirs, secret = tmp_path / "theirs", tmp_path / "secret"
    for folder in (theirs, secret):
        folder.mkdir()
    (secret / "shadow").write_bytes(b"hash")
    os.chown(theirs, NOBODY, NOBODY)
    link, target, path = {
        "file": (theirs / "out.log", secret / "shadow", theirs / "out.log"),
        "folder": (theirs / "logs", secret, theirs / "logs" / "shadow"),
        "proc": (theirs / "out.log", Path(f"/proc/self/cwd{secret}/shadow"), theirs / "out.log"),
    }[where]
    link.symlink_to(target)
    os.lchown(link, NOBODY, NOBODY)
    for flags in (WRITE, os.O_RDONLY):
        with pytest.raises(PermissionError, match=f"a link of uid {NOBODY} leads out"):
            open_log(str(path), flags)
    assert settled(str(path)) == str(path)
    assert (secret / "shadow").read_bytes() == b"hash"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of somebody else")
def test_a_programs_user_may_link_its_logs_to_another_place_of_its_own(tmp_path: Path) -> None:
    for name in ("theirs", "disk"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, NOBODY, NOBODY)
    link = tmp_path / "theirs" / "logs"
    link.symlink_to("../disk")
    os.lchown(link, NOBODY, NOBODY)
    put(link / "out.log", b"x")
    assert (tmp_path / "disk" / "out.log").read_bytes() == b"x"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    for trusted in (None, STRANGERS):
        with pytest.raises(OSError, match="links") as raised:
            open_log(str(tmp_path / "one"), WRITE, trusted=trusted)
        assert raised.value.errno == errno.ELOOP
    assert settled(str(tmp_path / "one")) == str(tmp_path / "one")


def test_descriptors_of_the_kernel_are_opened_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "file"
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        for name in (f"/proc/self/fd/{fd}", f"/dev/fd/{fd}"):
            assert settled(name) == name
            put(name, b"x")
    finally:
        os.close(fd)
    assert path.read_bytes() == b"xx"


def test_root_and_our_own_user_are_trusted() -> None:
    assert opening.ours() == {0, os.geteuid()}
