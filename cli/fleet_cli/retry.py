"""Patience for an agent or a controller that is being replaced: reads and keyed changes are asked again."""

from collections.abc import Callable
from typing import TypeVar

from fleet_api.errors import FleetError

RETRY_SECONDS = 2.0
RESUME_SECONDS = 60.0
"""The same, for a followed log of which something has been read."""
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.25

Answer = TypeVar("Answer")


class Retry:
    """Allows tries until `RETRY_SECONDS` after the first failure in a row."""

    def __init__(
        self,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        seconds: float = RETRY_SECONDS,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._seconds = seconds
        self.reset()

    def reset(self) -> None:
        """Something answered: the next failure is a first one."""
        self._since: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS

    def wait_or_give_up(self) -> bool:
        """Pause before another try; False when it is too late for one."""
        now = self._clock()
        if self._since is None:
            self._since = now
        left = self._since + self._seconds - now
        if left <= 0:
            return False
        self._sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return True


def patiently(attempt: Callable[[], Answer], is_away: Callable[[FleetError], bool], retry: Retry) -> Answer:
    """The answer of the first attempt that is not `is_away`.

    Raises: the last error, when it is of another kind or the time is over.
    """
    while True:
        try:
            return attempt()
        except FleetError as error:
            if not is_away(error) or not retry.wait_or_give_up():
                raise
