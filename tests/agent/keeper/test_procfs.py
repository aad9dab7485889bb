"""What /proc tells of living, dead and strangely named processes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet_agent.keeper import procfs

_RELEASE = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])


def test_this_process() -> None:
    found = procfs.stat(os.getpid())
    assert found is not None
    assert found.is_alive
    assert found.group == os.getpgrp()
    assert found.ticks > 0


def test_a_name_with_parentheses_and_blanks(tmp_path: Path) -> None:
    program = tmp_path / "a) Z (b"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "1000"], process_group=0) as process:
        found = procfs.stat(process.pid)
        assert found is not None
        assert found.is_alive
        assert found.group == process.pid
        process.kill()


def test_a_pid_of_nobody() -> None:
    assert procfs.stat(2**22 + 1) is None


def test_the_leader_that_has_a_file_as_its_output(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    assert procfs.leader_with([str(path), str(tmp_path / "none")]) == 0
    fd = os.open(path, os.O_RDWR)
    assert procfs.leader_with([str(path)]) == 0, "we have it, but not as a standard stream"
    follower = subprocess.Popen(["/bin/sleep", "1000"], stdout=fd)
    with subprocess.Popen(["/bin/sleep", "1000"], stdout=fd, process_group=0) as leader:
        assert procfs.leader_with([str(path)]) == leader.pid
        leader.kill()
    assert procfs.leader_with([str(path)]) == 0
    follower.kill()
    follower.wait()
    os.close(fd)


class Dead:
    """A child that has ended; `reap` takes its status away."""

    def __init__(self, script: str) -> None:
        self.pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], {})
        self.pidfd = os.pidfd_open(self.pid)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        found = procfs.stat(self.pid)
        assert found is not None
        self.ticks = found.ticks
        self.is_reaped = False

    def reap(self) -> None:
        os.waitpid(self.pid, 0)
        self.is_reaped = True


@contextmanager
def dead(script: str) -> Iterator[Dead]:
    child = Dead(script)
    try:
        yield child
    finally:
        os.close(child.pidfd)
        if not child.is_reaped:
            child.reap()


@pytest.mark.parametrize(("script", "status"), [("", 0), ("exit 7", 7 << 8), ("kill -9 $$", signal.SIGKILL)])
@pytest.mark.parametrize("is_reaped", [False, True])
def test_the_kernel_tells_how_a_process_ended(script: str, status: int, is_reaped: bool) -> None:
    if is_reaped and _RELEASE < (6, 15):
        pytest.skip("this kernel forgets how a process ended as soon as it is reaped")
    with dead(script) as child:
        if is_reaped:
            child.reap()
        assert procfs.status_of_dead(child.pid, child.ticks, child.pidfd) == status


def test_what_the_kernel_does_not_tell_is_unknown() -> None:
    with dead("exit 7") as child:
        assert procfs.status_of_dead(child.pid, child.ticks + 1, -1) is None, "another process of this pid"
        assert procfs.status_of_dead(child.pid, child.ticks + 1, child.pidfd) is None, "not reaped yet"
        child.reap()
        assert procfs.status_of_dead(child.pid, child.ticks, -1) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: becomes another user")
def test_a_status_that_one_may_not_know_is_not_taken_for_success() -> None:
    with dead("exit 7") as child:
        asking = os.fork()
        if asking == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            is_unknown = procfs.status_of_dead(child.pid, child.ticks, child.pidfd) is None
            os._exit(0 if is_unknown else 1)
        assert os.waitpid(asking, 0)[1] == 0
