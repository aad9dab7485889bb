"""A thread for what the main loop must not wait for: moving processes, and reading all of /proc."""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from fleet_agent.supervisor.loop import Loop


class TreeThread:
    """Does one thing after the other, in their order; the thread begins with the first."""

    def __init__(self, loop: Loop, warn: Callable[[str], None]) -> None:
        self._loop = loop
        self._warn = warn
        self._work: SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]]] = SimpleQueue()
        self._done: deque[Callable[[], None]] = deque()
        self._wake: Callable[[], None] | None = None
        self._is_running = False

    def do(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Have `work` done in the thread and its result given to `done` in the loop; None when it failed."""
        if self._wake is None:
            self._wake = self._loop.waker(self._finish)
        if not self._is_running:
            try:
                threading.Thread(target=self._run, args=(self._wake,), name="trees", daemon=True).start()
            except RuntimeError as error:
                self._warn(f"descendants cannot be looked after: {error}")
                self._loop.soon(lambda: done(None))
                return
            self._is_running = True
        self._work.put((work, done))

    def _run(self, wake: Callable[[], None]) -> None:
        while True:
            work, done = self._work.get()
            try:
                result = work()
            except Exception as error:
                words = f"looking after descendants failed: {type(error).__name__}: {error}"
                self._done.append(lambda words=words: self._warn(words))  # type: ignore[misc]
                result = None
            self._done.append(lambda done=done, result=result: done(result))  # type: ignore[misc]
            wake()

    def _finish(self) -> None:
        while self._done:
            self._done.popleft()()
