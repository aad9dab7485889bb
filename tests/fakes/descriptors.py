"""What this process holds open, as far as a test can know: threads of other tests open and close as well."""

import contextlib
import os
from pathlib import Path


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
