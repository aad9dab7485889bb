"""Signals wake the keeper's loop and are told in their order; ignored ones are not passed on to children."""

import subprocess
import sys

SCRIPT = """
import os, select, signal, subprocess
from fleet_agent.keeper.signals import ASKED, Signals
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.kill(os.getpid(), signal.SIGTERM)
signals = Signals()
subprocess.run(["true"])
os.kill(os.getpid(), signal.SIGUSR2)
assert select.select([signals.fd], [], [], 10)[0]
signals.drain()
assert not select.select([signals.fd], [], [], 0)[0]
taken = [signals.take(), signals.take(), signals.take()]
assert taken == [signal.SIGTERM, signal.SIGUSR2, None], taken
assert [ASKED[number] for number in taken[:2]] == ["stop", "reopen"]
assert signal.getsignal(signal.SIGTSTP) == signal.SIG_DFL
"""


def test_signals_are_caught_from_the_start_on() -> None:
    # A process of its own: handlers and masks are the whole process's.
    ignoring = f"import signal; signal.signal(signal.SIGTSTP, signal.SIG_IGN)\n{SCRIPT}"
    done = subprocess.run(
        [sys.executable, "-c", ignoring], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
