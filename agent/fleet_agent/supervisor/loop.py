"""The supervisor's only loop: descriptors and deadlines, and sleep until the next of either.

There is no tick. A handler runs to its end; nothing in it may wait.
"""

import heapq
import os
import select
from collections.abc import Callable

LONGEST_SLEEP_SECONDS = 86_400.0
"""Less than the kernel waits at most, 24 days; a turn without anything due does no harm."""


class Alarm:
    """A deadline that can be taken back."""

    __slots__ = ("action", "due", "is_cancelled")

    def __init__(self, due: float, action: Callable[[], object]) -> None:
        self.due = due
        self.action = action
        self.is_cancelled = False

    def cancel(self) -> None:
        """Let the deadline pass without effect."""
        self.is_cancelled = True

    def __lt__(self, other: "Alarm") -> bool:
        return self.due < other.due


class Loop:
    """Waits on descriptors and deadlines of the monotonic clock (seconds)."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._paused: set[int] = set()
        self._alarms: list[Alarm] = []
        self._soon: list[Callable[[], None]] = []
        self._is_running = False

    def now(self) -> float:
        """The monotonic clock, in seconds."""
        return self._monotonic()

    def watch(self, fd: int, on_readable: Callable[[], None], is_kernel_file: bool = False) -> None:
        """Call `on_readable` whenever the descriptor has something, until `forget`.

        `is_kernel_file`: it can always be read, and tells of news in the kernel's way (EPOLLPRI).
        """
        self._readers[fd] = on_readable
        self._epoll.register(fd, select.EPOLLPRI if is_kernel_file else select.EPOLLIN)

    def want_write(self, fd: int, on_writable: Callable[[], None] | None) -> None:
        """Call `on_writable` whenever the descriptor takes something; None ends that."""
        if on_writable is None:
            changed = self._writers.pop(fd, None) is not None
        else:
            changed = fd not in self._writers
            self._writers[fd] = on_writable
        if changed:
            self._epoll.modify(fd, self._wanted(fd))

    def pause(self, fd: int, is_paused: bool) -> None:
        """Call no `on_readable` for what comes, or do so again; the end of a peer is told all the same."""
        if is_paused != (fd in self._paused):
            (self._paused.add if is_paused else self._paused.discard)(fd)
            self._epoll.modify(fd, self._wanted(fd))

    def forget(self, fd: int) -> None:
        """Stop waiting on a descriptor; call before it is closed."""
        if self._readers.pop(fd, None) is not None:
            self._writers.pop(fd, None)
            self._paused.discard(fd)
            self._epoll.unregister(fd)

    def _wanted(self, fd: int) -> int:
        wanted = select.EPOLLOUT if fd in self._writers else 0
        return wanted if fd in self._paused else wanted | select.EPOLLIN

    def at(self, due: float, action: Callable[[], object]) -> Alarm:
        """Run `action` when the monotonic clock has reached `due`."""
        alarm = Alarm(due, action)
        heapq.heappush(self._alarms, alarm)
        return alarm

    def after(self, seconds: float, action: Callable[[], object]) -> Alarm:
        """Run `action` when so many seconds have passed."""
        return self.at(self._monotonic() + seconds, action)

    def soon(self, action: Callable[[], None]) -> None:
        """Run `action` before the loop waits again."""
        self._soon.append(action)

    def waker(self, action: Callable[[], None]) -> Callable[[], None]:
        """A function that other threads may call to have the loop run `action`; calls may be merged."""
        fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

        def on_wake() -> None:
            os.eventfd_read(fd)
            action()

        self.watch(fd, on_wake)
        return lambda: os.eventfd_write(fd, 1)

    def stop(self) -> None:
        """Leave `run` after this turn."""
        self._is_running = False

    def run(self) -> None:
        """Turn until `stop`."""
        self._is_running = True
        while self._is_running:
            for fd, flags in self._wait():
                if flags & select.EPOLLOUT and fd in self._writers:
                    self._writers[fd]()
                if flags & ~select.EPOLLOUT and fd in self._readers:
                    self._readers[fd]()
            self._ring()
            while self._soon:
                actions, self._soon = self._soon, []
                for action in actions:
                    action()

    def _wait(self) -> list[tuple[int, int]]:
        if self._soon:
            return self._epoll.poll(0)
        while self._alarms and self._alarms[0].is_cancelled:
            heapq.heappop(self._alarms)
        if not self._alarms:
            return self._epoll.poll()
        rest = min(max(0.0, self._alarms[0].due - self._monotonic()), LONGEST_SLEEP_SECONDS)
        # A millisecond more than asked: epoll rounds down, and a turn too early would spin.
        return self._epoll.poll(rest + 0.001)

    def _ring(self) -> None:
        now = self._monotonic()
        while self._alarms and self._alarms[0].due <= now:
            alarm = heapq.heappop(self._alarms)
            if not alarm.is_cancelled:
                alarm.action()
