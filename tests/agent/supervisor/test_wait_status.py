"""A wait status is read as the kernel wrote it."""

import os
import signal

import pytest
from fleet_agent.core.model import Exit
from fleet_agent.supervisor.wait_status import exit_of


@pytest.mark.parametrize(
    ("status", "end"),
    [
        (0, Exit(code=0)),
        (3 << 8, Exit(code=3)),
        (15, Exit(signal=15)),
        (11 | 0x80, Exit(signal=11, core_dumped=True)),
        (-1, Exit()),
    ],
)
def test_a_status_in_words(status: int, end: Exit) -> None:
    assert exit_of(status) == end


def test_of_a_real_process() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    assert exit_of(os.waitpid(pid, 0)[1]) == Exit(code=7)
    pid = os.fork()
    if pid == 0:
        signal.pause()
    os.kill(pid, signal.SIGKILL)
    assert exit_of(os.waitpid(pid, 0)[1]) == Exit(signal=9)
