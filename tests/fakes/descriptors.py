"""What this process holds open, as far as a test can know: threads of other tests open and close as well."""

import contextlib
import os
import select
from pathlib import Path
from typing import Protocol


class SupportsFileno(Protocol):
    """A socket, a file, a channel."""

    def fileno(self) -> int:
        """Its number."""


def open_below(folder: Path) -> list[str]:
    """The files below a folder that are held open, one name for each descriptor."""
    return sorted(name for name in _names() if name.startswith(f"{folder}/"))


def open_pidfds() -> int:
    """How many handles of processes are held."""
    return _names().count("anon_inode:[pidfd]")


def _names() -> list[str]:
    names = []
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            names.append(os.readlink(f"/proc/self/fd/{fd}"))
    return names


def is_readable(file: int | SupportsFileno, seconds: float) -> bool:
    """Whether there is something to read within so many seconds, whatever the number of the descriptor."""
    poller = select.poll()
    poller.register(file, select.POLLIN)
    return bool(poller.poll(max(0.0, seconds) * 1000))
