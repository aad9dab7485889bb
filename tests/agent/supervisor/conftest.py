"""What the kernel does for a supervisor that is killed: its files are closed."""

import contextlib
import os
from collections.abc import Iterator

import pytest

_THEIRS = ("journal.", "draft.journal", "results")


@pytest.fixture(autouse=True)
def files_of_the_killed_are_closed() -> Iterator[None]:
    """Tests kill supervisors by forgetting them; what they had open must not fill the test's own process.

    Journals and results hold bare descriptors, and append; what reads is closed by its file object, a log by
    its thread.
    """
    before = _left_open()
    yield
    for fd in _left_open() - before:
        os.close(fd)


def _left_open() -> set[int]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        # The descriptor of the listing itself is gone.
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{name}", encoding="ascii") as file:
            flags = next(line for line in file if line.startswith("flags:"))
            path = os.path.basename(os.readlink(f"/proc/self/fd/{name}"))
            if int(flags.split()[1], 8) & os.O_APPEND and path.startswith(
                ("journal.", "draft.journal", "results")
            ):
                found.add(int(name))
    return found
