"""What cannot be done at present, from all rooms and both threads of the supervisor, told and shown.

`core.troubles` decides what is told; here is the lock, the clock, and who is told.
"""

import contextlib
import os
import select
import threading
from collections.abc import Callable

from fleet_api.rows import TroubleRow

from fleet_agent.core.model import Now
from fleet_agent.core.troubles import Table
from fleet_agent.supervisor.loop import Alarm, Loop

RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 10.0

Report = Callable[[str], None]
"""Takes why something cannot be done, each time it cannot; "" once it can again."""


class Troubles:
    """Owns the table. `fail` and `over` may be called from any thread, and return at once."""

    def __init__(self, loop: Loop, clock: Callable[[], Now], tell: Callable[[str], None]) -> None:
        """`tell` takes lines in the loop's thread."""
        self._loop = loop
        self._clock = clock
        self._tell = tell
        self._table = Table()
        self._lock = threading.Lock()
        self._wake = loop.waker(self._tell_due)
        self._alarm: Alarm | None = None
        self.said: set[str] = set()
        """Kinds and subjects that are told on stderr as well."""

    def fail(self, kind: str, subject: str, words: str, lost: int = 0) -> None:
        """It could not be done: `words` say why and what follows, `lost` counts bytes that went nowhere."""
        with self._lock:
            has_news = self._table.fail(kind, subject, words, self._clock(), lost)
        if has_news:
            self._wake()

    def over(self, kind: str, subject: str) -> None:
        """It can be done again, if it could not."""
        with self._lock:
            has_news = self._table.over(kind, subject, self._clock())
        if has_news:
            self._wake()

    def note(self, kind: str, subject: str, words: str, lost: int = 0) -> None:
        """`fail`, or without words `over`."""
        if words:
            self.fail(kind, subject, words, lost)
        else:
            self.over(kind, subject)

    def about(self, kind: str, subject: str, retry: Callable[[], None] | None = None) -> Report:
        """Takes the words about one subject, in the loop's thread.

        As long as they tell of a failure, `retry` is called again and again, a second to ten seconds later.
        """
        alarm: Alarm | None = None
        pause = RETRY_SECONDS

        def report(words: str) -> None:
            nonlocal alarm, pause
            self.note(kind, subject, words)
            if not words:
                pause = RETRY_SECONDS
            elif retry is not None and alarm is None:
                alarm = self._loop.after(pause, try_again)
                pause = min(pause * 2, LONGEST_RETRY_SECONDS)

        def try_again() -> None:
            nonlocal alarm
            alarm = None
            if retry is not None:
                retry()

        return report

    def rows(self) -> list[TroubleRow]:
        """Those that last."""
        with self._lock:
            return list(self._table.rows())

    def _tell_due(self) -> None:
        with self._lock:
            lines = self._table.lines(self._clock())
            due = self._table.due()
        for (kind, subject), line in lines:
            self._tell(line)
            if kind in self.said or subject in self.said:
                _say(line)
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if due is None else self._loop.at(due, self._tell_due)


def _say(text: str) -> None:
    """Print a line on stderr, unless nobody takes it now."""
    poller = select.poll()
    poller.register(2, select.POLLOUT)
    with contextlib.suppress(OSError):
        if poller.poll(0) == [(2, select.POLLOUT)]:
            os.write(2, f"fleet-agent: {text}\n".encode("utf-8", "backslashreplace"))
