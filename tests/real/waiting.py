"""Waiting for a condition, with a deadline and a word about what was last seen."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(
    look: Callable[[], T], is_there: Callable[[T], bool] = bool, seconds: float = 15.0, what: str = ""
) -> T:
    """What `look` gives once it is as wanted; a file that it misses may still come."""
    deadline = time.monotonic() + seconds
    while True:
        seen: T | FileNotFoundError
        try:
            seen = look()
            if is_there(seen):
                return seen
        except FileNotFoundError as error:
            seen = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or is_there}; last seen: {seen!r}")
        time.sleep(0.01)
