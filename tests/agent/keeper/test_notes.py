"""The keeper's words on stderr wait for nobody."""

import os
import subprocess
import sys

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
