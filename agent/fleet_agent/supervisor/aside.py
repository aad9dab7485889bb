"""An act that may wait for a disk, beside the loop: a stalled one must not stop supervision.

Called by `desires`, one act at a time. The thread lives only as long as the act.
"""

import threading
from collections import deque
from collections.abc import Callable

from fleet_agent.supervisor.loop import Loop


class AsideThread:
    """Runs an act and has the loop hear how it went."""

    def __init__(self, loop: Loop) -> None:
        self._results: deque[tuple[Callable[[OSError | None], None], OSError | None]] = deque()
        self._wake = loop.waker(self._tell)

    def __call__(self, act: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """Run `act`, then have the loop call `done` with its error or None."""
        threading.Thread(target=self._run, args=(act, done), name="aside", daemon=True).start()

    def _run(self, act: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        error = None
        try:
            act()
        except OSError as failure:
            error = failure
        self._results.append((done, error))
        self._wake()

    def _tell(self) -> None:
        while self._results:
            done, error = self._results.popleft()
            done(error)
