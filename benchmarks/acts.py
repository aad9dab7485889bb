"""What children tell: a FIFO that every child of one stage writes a line into, and that we sleep on.

Children read the clock themselves, so how late we read costs no precision; and sleeping takes no CPU
from what is measured. The format is that of `child.c`.
"""

import os
import select
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

_READ_BYTES = 1024 * 1024
# Time for more lines to come, so that a thousand starts do not wake us a thousand times.
_GATHER_SECONDS = 0.02


class Act(NamedTuple):
    """One line: what a child did, and when (seconds, monotonic)."""

    what: str
    number: int
    pid: int
    at: float


class Acts:
    """Owns the FIFO; `pids` are all that were ever told, `began` the latest start of each number."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.pids: set[int] = set()
        self.began: dict[int, Act] = {}
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def next(self, what: str, number: int, seconds: float) -> Act | None:
        """The next act of this kind and child; None when it does not come within `seconds`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            for act in self._take(left):
                if (act.what, act.number) == (what, number):
                    return act
        return None

    def collect(self, what: str, count: int, seconds: float) -> list[Act]:
        """The acts of this kind, `count` of them, or as many as came within `seconds`."""
        found: list[Act] = []
        deadline = time.monotonic() + seconds
        while len(found) < count and (left := deadline - time.monotonic()) > 0:
            found += [act for act in self._take(left) if act.what == what]
            time.sleep(_GATHER_SECONDS)
        return found

    def drain(self) -> None:
        """Take note of all that was told until now."""
        for _ in self._take(0):
            pass

    def _take(self, seconds: float) -> Iterator[Act]:
        if not self._poll.poll(seconds * 1000):
            return
        *lines, self._rest = (self._rest + os.read(self._fd, _READ_BYTES)).split(b"\n")
        for line in lines:
            act = parse(line.decode("ascii"))
            self.pids.add(act.pid)
            if act.what == "began":
                self.began[act.number] = act
            yield act


def parse(line: str) -> Act:
    """The act that a line tells of."""
    what, number, pid, at = line.split()
    return Act(what, int(number), int(pid), float(at))


def wait_until(is_so: Callable[[], bool], seconds: float, what: str, pause: float = 0.2) -> None:
    """Sleep until a condition holds.

    Raises: TimeoutError naming `what`.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
