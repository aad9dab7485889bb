"""Acts that may wait for a disk, in a thread of their own: a stalled one must not stop supervision.

Called for what operators want for good, for epochs, and at the end for what is kept of the journal. The
thread lives only as long as its act.
"""

import errno
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
        try:
            threading.Thread(target=self._run, args=(act, done), name="aside", daemon=True).start()
        except RuntimeError as error:
            # Where no process can be started, no thread can.
            self._heard(done, OSError(errno.EAGAIN, str(error)))

    def _run(self, act: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        error = None
        try:
            act()
        except OSError as failure:
            error = failure
        self._heard(done, error)

    def _heard(self, done: Callable[[OSError | None], None], error: OSError | None) -> None:
        self._results.append((done, error))
        self._wake()

    def _tell(self) -> None:
        while self._results:
            done, error = self._results.popleft()
            done(error)


def within(seconds: float, act: Callable[[], None]) -> str:
    """Run `act` and wait so long for it; why it failed, in words, or nothing."""
    problems = [f"not done within {seconds:g} s"]

    def run() -> None:
        try:
            act()
        except OSError as error:
            problems[0] = error.strerror or str(error)
        else:
            problems.clear()

    thread = threading.Thread(target=run, name="aside", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        return str(error)
    thread.join(seconds)
    return "".join(problems)
