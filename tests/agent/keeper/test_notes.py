"""The keeper's words on stderr wait for nobody."""

import os
import subprocess
import sys

import pytest
from fleet_agent.keeper.notes import Failures

SAY = "import os, sys; from fleet_agent.keeper.notes import say; say('a' * {count}); say('b'); sys.exit(3)"


def test_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", SAY.format(count=1)], capture_output=True, check=False)
    assert done.stderr == b"fleet-agent: a\nfleet-agent: b\n"


def test_a_reader_that_is_gone_or_stuck_does_not_matter() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    argv = [sys.executable, "-c", SAY.format(count=1)]
    assert subprocess.run(argv, stderr=writing, timeout=20, check=False).returncode == 3
    os.close(reading)
    assert subprocess.run(argv, stderr=writing, timeout=20, check=False).returncode == 3
    os.close(writing)


def test_failures_are_said_once_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    failures = Failures(lambda: now)
    failures.works("writing")
    for _ in range(37):
        now += 1
        failures.fails("writing", "no room")
    failures.works("writing")
    failures.works("writing")
    assert capfd.readouterr().err.splitlines() == [
        "fleet-agent: writing fails: no room",
        "fleet-agent: writing works again after 37 failures in 36 s",
    ]


def test_what_comes_and_goes_is_said_once_a_minute(capfd: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    failures = Failures(lambda: now)
    for _ in range(600):
        now += 1
        failures.fails("writing", "no room")
        failures.works("writing")
    assert len(capfd.readouterr().err.splitlines()) <= 2 * 11
