"""Waiting for a condition instead of for a time."""

import time
from collections.abc import Callable


def wait_until(is_so: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.005)
