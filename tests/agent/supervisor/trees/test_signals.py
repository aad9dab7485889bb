"""Only who is meant gets a signal."""

import os
import signal
import subprocess

import pytest
from fleet_agent.supervisor.trees import signals


def test_only_who_is_meant_gets_it() -> None:
    first, second = (subprocess.Popen(["/bin/sleep", "1000"]) for _ in range(2))
    try:
        pids = [first.pid, second.pid, 2**22 + 1]
        assert signals.send(pids, signal.SIGTERM, lambda pid: pid == second.pid) == {}
        assert second.wait(20) == -signal.SIGTERM
        assert first.poll() is None
        assert signals.send([second.pid], signal.SIGTERM, lambda _: True) == {}, "gone is no refusal"
    finally:
        for child in (first, second):
            child.kill()
            child.wait()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may signal anybody")
def test_a_refusal_is_told() -> None:
    # Not SIGCONT, which anybody may send within his own session.
    assert signals.send([1], signal.SIGWINCH, lambda _: True).keys() == {1}
