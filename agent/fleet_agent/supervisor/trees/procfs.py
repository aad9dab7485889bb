"""What /proc tells of processes that are nobody's business but their tree's.

Called in the helper thread: a reading of a thousand processes takes tens of milliseconds.
"""

import os
from collections.abc import Iterable
from typing import NamedTuple

from fleet_agent.core.tree import Seen

MARK_VARIABLE = "FLEET_AGENT_RUN"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_MARK_START = f"{MARK_VARIABLE}=".encode("ascii")
_MAX_ENVIRONMENT = 1 << 20
MAX_COMMAND = 400
"""Bytes of a command line that are shown."""


class Stat(NamedTuple):
    """One line of /proc/PID/stat. Units: `cpu` and `started` clock ticks, `memory` bytes resident."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    cpu: int
    started: int
    memory: int

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return self.state not in "ZX"


def stat(pid: int) -> Stat | None:
    """The process of this pid; None when there is none."""
    data = _read(f"/proc/{pid}/stat", 2048)
    if not data:
        return None
    # The name in parentheses may hold blanks and parentheses of its own.
    start, end = data.index(b"("), data.rindex(b")")
    fields = data[end + 2 :].split()
    return Stat(
        pid,
        data[start + 1 : end].decode("utf-8", "backslashreplace"),
        fields[0].decode("ascii"),
        int(fields[1]),
        int(fields[2]),
        int(fields[3]),
        int(fields[11]) + int(fields[12]),
        int(fields[19]),
        int(fields[21]) * _PAGE_BYTES,
    )


def pids() -> list[int]:
    """Every process there is."""
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def seen(among: Iterable[int], since: int) -> dict[int, Seen]:
    """The living ones of these processes; marks are read of those that started at `since` ticks or later."""
    found: dict[int, Seen] = {}
    for pid in among:
        line = stat(pid)
        if line is not None and line.is_alive:
            its_mark = mark(pid) if line.started >= since else ""
            found[pid] = Seen(pid, line.parent, line.group, line.session, line.started, its_mark)
    return found


def mark(pid: int) -> str:
    """The mark in the environment that a process was executed with; empty without one that we may read."""
    data = _read(f"/proc/{pid}/environ", _MAX_ENVIRONMENT)
    at = 0 if data.startswith(_MARK_START) else data.find(b"\0" + _MARK_START) + 1
    if not at and not data.startswith(_MARK_START):
        return ""
    value = data[at + len(_MARK_START) :].partition(b"\0")[0]
    return os.fsdecode(value)


def command(line: Stat) -> str:
    """The command line, cut and harmless to a terminal; the name in brackets where there is none."""
    data = _read(f"/proc/{line.pid}/cmdline", MAX_COMMAND + 1)
    if not data:
        return _harmless(f"[{line.name}]")
    text = data[:MAX_COMMAND].rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "backslashreplace")
    return _harmless(text) + ("..." if len(data) > MAX_COMMAND else "")


def _harmless(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def ticks_of(started_monotonic: float, monotonic: float, boottime: float) -> int:
    """A moment of the monotonic clock as /proc counts it: ticks since boot, sleep included."""
    return int((boottime - (monotonic - started_monotonic)) * TICKS_PER_SECOND)


def _read(path: str, size: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, size)
    except OSError:
        return b""
    finally:
        os.close(fd)
