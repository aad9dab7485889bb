"""A supervisor's loop that turns only while a test waits for something."""

import time
from collections.abc import Callable

from fleet_agent.supervisor.loop import Loop

DEADLINE_SECONDS = 15.0


def turn(loop: Loop) -> None:
    """One turn: what is there is handled, deadlines that are over ring."""
    loop.soon(loop.stop)
    loop.run()


def turn_until(loop: Loop, is_so: Callable[[], object], what: str = "the condition") -> None:
    """Turn until it holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"{what} did not come about"
        nap = loop.after(0.01, loop.stop)
        loop.run()
        nap.cancel()
