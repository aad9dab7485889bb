"""Whether the kernel has killed for want of memory, where a run has no count of its own.

The kernel counts such kills for each memory cgroup, and for the whole host in /proc/vmstat; which process it
killed it tells in its log alone. So a death by SIGKILL that comes with a higher count was most likely one.
"""

import os
import threading
import time
from collections.abc import Callable

RECENT_SECONDS = 2.0
"""How much later than its count a death may be told."""

_MAX_BYTES = 1 << 14
OF_HOST = "/proc/vmstat"
CAUSE = "killed by the kernel, out of memory"


class OomCount:
    """The count that is nearest to the agent's children, and what of it no death has explained yet.

    May be called from any thread.
    """

    def __init__(
        self,
        sources: tuple[tuple[str, str], ...] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sources`: files and the word before their count; the first that has one is used."""
        self._monotonic = monotonic
        self._word = ""
        self._fd = -1
        self._is_of_host = False
        self._last = 0
        self._unexplained = 0
        self._seen = 0.0
        self._looked = monotonic()
        # What has been counted may have happened long before it was seen.
        self._is_late = False
        self._lock = threading.Lock()
        for path, word in sources if sources is not None else (*_of_cgroups(), (OF_HOST, "oom_kill")):
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            counted = _count(fd, word)
            if counted is None:
                os.close(fd)
                continue
            self._fd, self._word, self._last = fd, word, counted
            self._is_of_host = path == OF_HOST
            break

    def cause(self) -> str:
        """Why a process died of SIGKILL just now, in words; empty when the count tells nothing."""
        self.look()
        with self._lock:
            if not self._unexplained:
                return ""
            self._unexplained -= 1
        return f"probably {CAUSE}" if self._is_of_host or self._is_late else CAUSE

    def look(self) -> None:
        """Take note of what has been counted up to now: it explains no death that is told much later."""
        if self._fd < 0:
            return
        with self._lock:
            now, count = self._monotonic(), _count(self._fd, self._word) or 0
            is_late, self._looked = now - self._looked > RECENT_SECONDS, now
            grown, self._last = max(0, count - self._last), count
            if now - self._seen > RECENT_SECONDS:
                self._unexplained = 0
            if grown:
                self._unexplained += grown
                self._seen = now
                self._is_late = is_late


def _of_cgroups() -> list[tuple[str, str]]:
    """The counts of the memory cgroup that this process is in, of either version."""
    found = []
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            own = [line.rstrip("\n").split(":", 2) for line in file]
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.rstrip("\n").partition(" - ") for line in file]
    except OSError:
        return []
    for _, controllers, path in own:
        for before, _, after in mounts:
            kind, _, options = after.split(" ", 2)
            root, folder = before.split(" ")[3:5]
            inside = path[len(root) :] if root != "/" else path
            if not path.startswith(root):
                continue
            if kind == "cgroup2" and not controllers:
                found.append((f"{folder}{inside}/memory.events", "oom_kill"))
            elif kind == "cgroup" and controllers == "memory" and "memory" in options.split(","):
                found.append((f"{folder}{inside}/memory.oom_control", "oom_kill"))
    return found


def _count(fd: int, word: str) -> int | None:
    # Read between a death and the restart that follows it: in one call, and not line by line.
    try:
        _, found, rest = (b"\n" + os.pread(fd, _MAX_BYTES, 0)).partition(f"\n{word} ".encode("ascii"))
        return int(rest.partition(b"\n")[0]) if found else None
    except (OSError, ValueError):
        return None
