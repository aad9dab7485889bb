"""What /proc tells, of this process and of hostile ones."""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from fleet_agent.supervisor.trees import procfs
from real.waiting import wait_for


def test_this_process() -> None:
    line = procfs.stat(os.getpid())
    assert line is not None
    assert (line.pid, line.parent, line.group) == (os.getpid(), os.getppid(), os.getpgrp())
    assert line.session == os.getsid(0)
    assert line.is_alive
    assert line.memory > 1_000_000
    assert os.getpid() in procfs.pids()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - line.started / procfs.TICKS_PER_SECOND
    assert 0 <= age < 24 * 3600


def test_there_is_nobody() -> None:
    assert procfs.stat(2**22 + 1) is None
    assert procfs.mark(2**22 + 1) == ""
    assert procfs.seen([2**22 + 1], since=0) == {}


def with_child(arguments: list[str], environ: dict[str, str], check: Callable[[int], None]) -> None:
    argv = [
        sys.executable,
        "-S",
        "-c",
        "import sys, time; print(1, flush=True); time.sleep(3600)",
        *arguments,
    ]
    child = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        check(child.pid)
    finally:
        child.kill()
        child.wait()


def test_a_mark_is_found_wherever_it_stands() -> None:
    for environ in (
        {procfs.MARK_VARIABLE: "me/g:a#1"},
        {"A": "1", procfs.MARK_VARIABLE: "me/g:a#1", "B": "2"},
    ):
        with_child([], environ, lambda pid: _same(procfs.mark(pid), "me/g:a#1"))
    for environ in ({}, {f"X{procfs.MARK_VARIABLE}": "me/g:a#1"}, {"A": f"{procfs.MARK_VARIABLE}=me/g:a#1"}):
        with_child([], environ, lambda pid: _same(procfs.mark(pid), ""))


def test_marks_of_older_processes_are_not_read() -> None:
    def check(pid: int) -> None:
        line = procfs.stat(pid)
        assert line is not None
        assert procfs.seen([pid], line.started)[pid].mark == "me/g:a#1"
        assert procfs.seen([pid], line.started + 1)[pid].mark == ""

    with_child([], {procfs.MARK_VARIABLE: "me/g:a#1"}, check)


def test_a_command_line_is_cut_and_harmless() -> None:
    def check(pid: int) -> None:
        line = procfs.stat(pid)
        assert line is not None
        text = procfs.command(line)
        assert text.isprintable()
        assert "?[31mred" in text
        assert text.endswith("...")
        assert len(text) <= procfs.MAX_COMMAND + 3

    with_child(["\x1b[31mred\n", "x" * 5000], {}, check)


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen(["/bin/true"])
    try:
        line = wait_for(
            lambda: procfs.stat(child.pid), lambda line: line is None or not line.is_alive, what="its end"
        )
        assert line is not None
        assert procfs.seen([child.pid], since=0) == {}
        assert procfs.command(line) == "[true]"
    finally:
        child.wait()


def test_ticks_of_a_moment() -> None:
    assert procfs.ticks_of(90.0, 100.0, 130.0) == 120 * procfs.TICKS_PER_SECOND


def _same(found: str, wanted: str) -> None:
    assert found == wanted
