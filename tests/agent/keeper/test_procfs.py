"""What /proc tells of living, dead and strangely named processes."""

import os
import subprocess
from pathlib import Path

from fleet_agent.keeper import procfs


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
