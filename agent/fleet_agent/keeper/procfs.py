"""What the kernel tells of a process that may not be a child of this one: identity, age, open files.

Read from /proc by the keeper when it starts a child and when it adopts what an earlier keeper left.
"""

import fcntl
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple

# linux/pidfd.h: `struct pidfd_info` as of its first version, and _IOWR(0xFF, 11, struct pidfd_info).
_PIDFD_INFO = struct.Struct("=QQ11Ii")
_PIDFD_GET_INFO = 3 << 30 | _PIDFD_INFO.size << 16 | 0xFF << 8 | 11
_PIDFD_INFO_EXIT = 1 << 3


class Stat(NamedTuple):
    """The part of /proc/PID/stat that tells one process from another of the same pid.

    `ticks` is the start time in clock ticks since boot; `status` the wait status of a zombie, None
    where the kernel does not let us know it and, before Linux 5.16, where it is 0.
    """

    state: str
    group: int
    ticks: int
    status: int | None
    parent: int

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
    # A zombie is not running, so wchan is 1, unless both it and the status are hidden from us.
    is_told = fields[32] != b"0" or fields[49] != b"0"
    status = int(fields[49]) if is_told else None
    return Stat(fields[0].decode("ascii"), int(fields[2]), int(fields[19]), status, int(fields[1]))


def status_of_dead(pid: int, ticks: int, pidfd: int) -> int | None:
    """The wait status of a process that ended and is not our child; None when the kernel does not tell.

    It tells as long as nobody has reaped it, to whom it trusts with its secrets; afterwards, since
    Linux 6.15, to whoever held a pidfd (or -1) before.
    """
    found = stat(pid)
    if found is not None and found.ticks == ticks and not found.is_alive and found.status is not None:
        return found.status
    info = bytearray(_PIDFD_INFO.pack(_PIDFD_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except (OSError, ValueError):
        return None
    mask, *_, status = _PIDFD_INFO.unpack(info)
    return int(status) if mask & _PIDFD_INFO_EXIT else None


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
