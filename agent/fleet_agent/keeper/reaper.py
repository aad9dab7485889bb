"""Which children have ended, as the kernel tells: every wait status is taken here, once.

Called by the keeper's loop for SIGCHLD, and again at `due`.
"""

import math
import os
import time
from collections.abc import Iterator

SECOND_LOOK_SECONDS = 0.002


class Reaper:
    """Takes the wait statuses of whatever has ended; `due` (monotonic) is when to look again, unasked.

    Signals of deaths may be merged, so nobody knows how many there were; and to find the next one, or that
    there is none, the kernel looks through all children. The first of a burst is told without that look,
    since a successor may wait for it; 2 ms later, or with the next signal, all others are.
    """

    def __init__(self) -> None:
        self.due = math.inf

    def ended(self) -> Iterator[tuple[int, int]]:
        """The pid and the raw wait status of one that has ended, or of all others if one was just told."""
        is_second_look = self.due < math.inf
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = status = 0
            if pid == 0:
                self.due = math.inf
                return
            # Before anything is done about it, which may fail.
            self.due = time.monotonic() + SECOND_LOOK_SECONDS
            yield pid, status
            if not is_second_look:
                return
