"""The keeper's signals: the descriptor that wakes its loop for them, and what each asks of the agent."""

import os
import signal
from collections import deque
from contextlib import suppress
from types import FrameType

from fleet_agent.keeper.spawn import HANDLED_SIGNALS

ASKED = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    signal.SIGQUIT: "stop",
    signal.SIGHUP: "reload",
    signal.SIGUSR1: "detach",
    signal.SIGUSR2: "reopen",
}
"""The request that a signal stands for, as `messages.Asked` tells it."""


class Signals:
    """Catches them from its making on; `fd` can be read when there is one, a death among them."""

    def __init__(self) -> None:
        self._waiting: deque[signal.Signals] = deque()
        self.fd, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in signal.valid_signals():
            # What our starter ignores, children would ignore; SIGPIPE and SIGXFSZ Popen restores.
            if signal.getsignal(number) == signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
        for number in HANDLED_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def drain(self) -> None:
        """Empty `fd`, before anything is done about the signals: one more wakes the loop again."""
        with suppress(BlockingIOError):
            # As good as empty: what so many signals leave behind wakes the loop again at once.
            os.read(self.fd, 4096)

    def take(self) -> signal.Signals | None:
        """The next one that asks for something, if any; deaths are not among them."""
        return self._waiting.popleft() if self._waiting else None

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._waiting.append(signal.Signals(number))
