"""The keeper's words to whoever started it: one line on stderr each, and never a wait for a reader."""

import os
import select
import time
from collections.abc import Callable


def say(text: str) -> None:
    """Print one line, unless nobody takes it."""
    poller = select.poll()
    poller.register(2, select.POLLOUT)
    try:
        if poller.poll(0) == [(2, select.POLLOUT)]:
            os.write(2, f"fleet-agent: {text}\n".encode("utf-8", "backslashreplace"))
    except OSError:
        return


QUIET_SECONDS = 60.0


class Failures:
    """Says that something fails when it begins to, and how often it did when it works again.

    What comes and goes is told once a minute. For a few things with names of their own.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._failures: dict[str, _Failure] = {}

    def fails(self, what: str, why: str) -> None:
        """It failed (once more)."""
        now = self._monotonic()
        failure = self._failures.setdefault(what, _Failure())
        if not failure.count:
            failure.since = now
        failure.count += 1
        if not failure.is_told and now >= failure.quiet_until:
            failure.is_told = True
            failure.quiet_until = now + QUIET_SECONDS
            say(f"{what} fails: {why}")

    def works(self, what: str) -> None:
        """It works, again or as ever."""
        failure = self._failures.get(what)
        if failure is None or not failure.is_told:
            return
        seconds = self._monotonic() - failure.since
        say(f"{what} works again after {failure.count} failures in {seconds:.0f} s")
        failure.is_told = False
        failure.count = 0


class _Failure:
    __slots__ = ("count", "is_told", "quiet_until", "since")

    def __init__(self) -> None:
        self.count = 0
        self.since = self.quiet_until = 0.0
        self.is_told = False


failures = Failures()
"""Those of the keeper of this process."""
