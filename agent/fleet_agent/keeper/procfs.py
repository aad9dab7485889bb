"""What the kernel tells of a process that may not be a child of this one: identity, age, open files.

Read from /proc by the keeper when it starts a child and when it adopts what an earlier keeper left.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple


class Stat(NamedTuple):
    """The part of /proc/PID/stat that tells one process from another of the same pid.

    `ticks` is the start time in clock ticks since boot.
    """

    state: str
    group: int
    ticks: int

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        return self.state not in "ZX"


def stat(pid: int) -> Stat | None:
    """The process of this pid, None when there is none (or no /proc)."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.read(fd, 1024)
    except OSError:
        return None
    finally:
        os.close(fd)
    # The name in parentheses may hold blanks and parentheses of its own.
    fields = data[data.rindex(b")") + 2 :].split()
    return Stat(fields[0].decode("ascii"), int(fields[2]), int(fields[19]))


def boot_id() -> str:
    """What names this boot of the kernel; empty where the kernel does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def leader_with(paths: Sequence[str]) -> int:
    """The pid of the group leader that has one of these files as its stdin, stdout or stderr; or 0."""
    wanted = set()
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            continue
        wanted.add((found.st_dev, found.st_ino))
    if not wanted:
        return 0
    own = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == own:
            continue
        pid = int(name)
        try:
            if os.getpgid(pid) == pid and any(_is_open(pid, fd, wanted) for fd in (0, 1, 2)):
                return pid
        except OSError:
            continue
    return 0


def _is_open(pid: int, fd: int, wanted: set[tuple[int, int]]) -> bool:
    try:
        found = os.stat(f"/proc/{pid}/fd/{fd}")
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) in wanted
