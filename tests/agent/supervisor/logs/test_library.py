"""One path is one log, however many write to it or follow it."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.descriptors import open_below
from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.answers import LogDescribed, LogGrew, LogRotated, Result
from fleet_agent.supervisor.logs.library import Library


@pytest.fixture
def answers() -> list[Result]:
    return []


@pytest.fixture
def library(tmp_path: Path, answers: list[Result]) -> Library:
    state = str(tmp_path / "state")
    return Library(
        state, lambda: "id", time.monotonic, answers.append, lambda _: None, lambda *_: None, lambda _: None
    )


def test_one_path_is_one_log_however_it_is_spelt(tmp_path: Path, library: Library) -> None:
    (tmp_path / "link.log").symlink_to(tmp_path / "out.log")
    first = library.open(LogSpec(str(tmp_path / "out.log")))
    assert library.open(LogSpec(f"{tmp_path}/./x/../out.log")) is first
    assert library.open(LogSpec(str(tmp_path / "link.log"))) is first
    assert library.open(LogSpec(str(tmp_path / "other.log"))) is not first


def test_the_last_writer_closes_the_file(tmp_path: Path, library: Library) -> None:
    spec = LogSpec(str(tmp_path / "out.log"))
    log = library.open(spec)
    library.open(spec)
    assert open_below(tmp_path) == [spec.path]
    library.close(log)
    assert open_below(tmp_path) == [spec.path]
    library.close(log)
    assert open_below(tmp_path) == []
    assert library.open(spec) is not log


def test_a_link_is_followed_and_stays_when_its_target_rotates(tmp_path: Path, library: Library) -> None:
    (tmp_path / "link.log").symlink_to(tmp_path / "out.log")
    log = library.open(LogSpec(str(tmp_path / "link.log"), maxbytes=4, backups=1))
    log.append(b"aaa\nb")
    assert (tmp_path / "link.log").is_symlink()
    assert (tmp_path / "out.log").read_bytes() == b"b"
    assert (tmp_path / "out.log.1").read_bytes() == b"aaa\n"


def test_standard_output_is_appended_to_and_never_renamed(tmp_path: Path) -> None:
    program = (
        "import time\n"
        "from fleet_agent.core.model import LogSpec\n"
        "from fleet_agent.supervisor.logs.library import Library\n"
        "nothing = lambda *_: None\n"
        f"library = Library({str(tmp_path)!r}, lambda: 'id', time.monotonic, *[nothing] * 4)\n"
        f"for path in ('/dev/stdout', {str(tmp_path / 'link')!r}):\n"
        "    log = library.open(LogSpec(path, maxbytes=1, backups=1))\n"
        "    log.append(b'a\\nb\\n')\n"
    )
    (tmp_path / "link").symlink_to("/dev/stdout")
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True, timeout=20)
    assert (tmp_path / "out").read_bytes() == b"a\nb\na\nb\n"
    assert os.path.islink("/dev/stdout")
    # A socket, as systemd gives, cannot be opened by name.
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run([sys.executable, "-c", program], stdout=theirs.fileno(), check=True, timeout=20)
        assert ours.recv(100, socket.MSG_DONTWAIT).startswith(b"a\nb\n")


def test_a_follower_of_a_log_nobody_writes_hears_of_the_next_writer(
    tmp_path: Path, library: Library, answers: list[Result]
) -> None:
    spec = LogSpec(str(tmp_path / "out.log"), maxbytes=6, backups=1)
    (tmp_path / "out.log").write_bytes(b"old\n")
    library.describe(3, "a stdout", spec, is_followed=True)
    described = answers.pop()
    assert isinstance(described, LogDescribed)
    os.close(described.segments[0][1])
    log = library.open(spec)
    log.append(b"new\n")
    library.tell_growth()
    rotated, grown = answers
    assert isinstance(rotated, LogRotated)
    os.close(rotated.fd)
    assert (rotated.request, rotated.start) == (3, 8)
    assert grown == LogGrew(3, 8)
    library.forget(3)
    library.close(log)
    log = library.open(spec)
    log.append(b"x")
    library.tell_growth()
    assert len(answers) == 2


def test_no_growth_is_not_told(tmp_path: Path, library: Library, answers: list[Result]) -> None:
    (tmp_path / "out.log").write_bytes(b"old\n")
    library.describe(3, "a stdout", LogSpec(str(tmp_path / "out.log")), is_followed=True)
    library.tell_growth()
    [described] = answers
    assert isinstance(described, LogDescribed)
    os.close(described.segments[0][1])
