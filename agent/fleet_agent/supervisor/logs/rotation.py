"""Rotation by size: where a file is full, and the renames that make room for the next. Used by `logfile`."""

import contextlib
import os
from collections.abc import Callable

from fleet_agent.supervisor.logs.inflight import CHUNK_BYTES


def cut(data: bytes | memoryview, position: int, size: int, maxbytes: int) -> tuple[int, bool]:
    """Up to where `data[position:]` goes into a file of `size` bytes, and whether that file is full then.

    It is full at the first line end at or after `maxbytes`, or a chunk's length beyond where there is none.
    """
    room = maxbytes - size
    if len(data) - position < room:
        return len(data), False
    limit = position + room + CHUNK_BYTES
    first = position + max(room, 1) - 1
    line_end = bytes(data[first : max(limit, first)]).find(b"\n")
    if line_end >= 0:
        return first + line_end + 1, True
    if limit <= len(data):
        return max(limit, position), True
    return len(data), False


def shift(path: str, backups: int, passed: Callable[[str], None]) -> None:
    """Move the file to .1 and the others up by one, into the first gap; the one at `backups` goes.

    Broken off anywhere it may be repeated: what was moved already leaves the gap that the rest fills.
    Raises: OSError.
    """
    if backups == 0:
        os.unlink(path)
        return
    gap = 1
    while gap < backups and os.path.lexists(f"{path}.{gap}"):
        gap += 1
    # ext4 flushes a file that is renamed over another: remove that first.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{path}.{gap}")
    for number in range(gap - 1, 0, -1):
        os.rename(f"{path}.{number}", f"{path}.{number + 1}")
        passed("rotation shifted")
    os.rename(path, f"{path}.1")


def size_of_backup(path: str, inode: int, backups: int) -> int | None:
    """The size in bytes of the backup with this inode number; None when none has it."""
    for number in range(1, backups + 1):
        try:
            found = os.lstat(f"{path}.{number}")
        except OSError:
            continue
        if found.st_ino == inode:
            return found.st_size
    return None
