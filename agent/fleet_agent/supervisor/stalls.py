"""Notices that the log thread waits for a disk, and tells. Used by `agent` and `requests`.

Without a tick: it is looked at when something is asked of the agent, a while after the thread has begun to
work, and again only as long as it is found at work.
"""

from collections.abc import Callable

from fleet_agent.supervisor.loop import Alarm, Loop
from fleet_agent.supervisor.troubles import Troubles

STALL_SECONDS = 3.0
LOOK_SECONDS = 1.0
WATCH_SECONDS = 15.0
"""From work that is begun to a look at it, should nobody ask before."""

KIND = "log disk"


class Stalls:
    """Owns the trouble of a stalled log disk."""

    def __init__(self, loop: Loop, busy: Callable[[float], tuple[float, str]], troubles: Troubles) -> None:
        """`busy(now)`: for how many seconds the thread has been at one piece of work, and at which log."""
        self._loop = loop
        self._busy = busy
        self._troubles = troubles
        self._alarm: Alarm | None = None
        self._is_stalled = False

    def look(self) -> str:
        """Why no log can be read or written now, in words; empty when all is well."""
        seconds, path = self._busy(self._loop.now())
        at = f" at {path}" if path else ""
        words = ""
        if seconds >= STALL_SECONDS:
            self._is_stalled = True
            words = (
                f"stalls{at}: one write has taken {seconds:.0f} s and more;"
                " processes go on until their pipes are full (64 KiB each), then wait"
            )
            self._troubles.fail(KIND, "", words)
        elif self._is_stalled:
            self._is_stalled = False
            self._troubles.over(KIND, "")
        if seconds:
            self._look_within(LOOK_SECONDS if self._is_stalled else STALL_SECONDS)
        return words

    def begun(self) -> None:
        """The thread has begun to work, for the first time since it was looked at."""
        self._look_within(WATCH_SECONDS)

    def _look_within(self, seconds: float) -> None:
        due = self._loop.now() + seconds
        if self._alarm is not None:
            if self._alarm.due <= due:
                return
            self._alarm.cancel()
        self._alarm = self._loop.at(due, self._look_again)

    def _look_again(self) -> None:
        self._alarm = None
        self.look()
