"""What the kernel does for a supervisor that is killed: its files are closed."""

import contextlib
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def files_of_the_killed_are_closed() -> Iterator[None]:
    """Tests kill supervisors by forgetting them; what they had open must not fill the test's own process."""
    yield
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{name}")
            if "/journal/" in target or "/results" in target:
                os.close(int(name))
