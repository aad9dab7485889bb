"""A disk that answers when the test says so, in place of the thread for what may wait for one."""

from collections.abc import Callable
from pathlib import Path

from fleet_agent.supervisor.loop import Loop


class AskedDisk:
    """Holds acts back; its clock is the test's, and drives `loop`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 100.0
        self.loop = Loop(lambda: self.now)
        self.acts: list[tuple[Callable[[], None], Callable[[OSError | None], None]]] = []
        self.said: list[str] = []

    def aside(self, act: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
        """What a room is given to have acts done."""
        self.acts.append((act, done))

    def act(self, error: OSError | None = None) -> None:
        """Do the oldest act, or have it fail."""
        act, done = self.acts.pop(0)
        if error is None:
            act()
        done(error)

    def pass_time(self, seconds: float) -> None:
        """Let what is due happen."""
        self.now += seconds
        self.loop.after(0, self.loop.stop)
        self.loop.run()
