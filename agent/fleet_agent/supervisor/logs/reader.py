"""When which stream is read. Used by `worker`, in the log thread.

A stream that prints little is read as soon as it prints, then no more than once in 20 ms; one that filled
half of its FIFO in that time is fast, and is read as often as it takes to find the FIFO about half full. Fast
ones take turns, a chunk each. With nothing to read the thread sleeps.
"""

import os
import select
import time
from collections.abc import Callable

from fleet_agent.supervisor.logs.inflight import CHUNK_BYTES
from fleet_agent.supervisor.logs.streams import Stream

TURN_SECONDS = 0.02
FULL_BYTES = CHUNK_BYTES // 2
SHORTEST_NAP_SECONDS = 0.0001
YIELD_SECONDS = 0.003


class Reader:
    """Waits for streams and calls `move(stream)`, which gives the bytes it read, and `end(stream)`.

    `turned()` is called after each turn in which something was read.
    """

    def __init__(
        self, move: Callable[[Stream], int], end: Callable[[Stream], None], turned: Callable[[], None]
    ) -> None:
        self.streams: dict[int, Stream] = {}
        self._move = move
        self._end = end
        self._turned = turned
        self._fast: list[Stream] = []
        self._next_turn = 0.0
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll = select.epoll()
        self._epoll.register(self._wake, select.EPOLLIN)
        self._wake_poll = select.poll()
        self._wake_poll.register(self._wake, select.POLLIN)

    def wake(self) -> None:
        """End the `step` that sleeps, or the next one; from any thread."""
        os.eventfd_write(self._wake, 1)

    def add(self, stream: Stream) -> None:
        """Read this stream from now on.

        Raises: OSError when its descriptor is none that can be waited for.
        """
        self._epoll.register(stream.fd, select.EPOLLIN)
        self.streams[stream.fd] = stream

    def drop(self, stream: Stream) -> None:
        """Read this stream no more."""
        self._slow_down(stream)
        del self.streams[stream.fd]
        self._epoll.unregister(stream.fd)

    def step(self) -> None:
        """Read what is due, or sleep until something is or somebody wakes."""
        if self._fast:
            self._read_fast()
            return
        rest = self._next_turn - time.monotonic()
        if rest > 0:
            self._wake_poll.poll(rest * 1000)
            self._take_wake()
        else:
            self._read_ready(-1)

    def close(self) -> None:
        """Let go of what is waited with; the streams' descriptors stay."""
        self._epoll.close()
        os.close(self._wake)

    def _take_wake(self) -> None:
        try:
            os.eventfd_read(self._wake)
        except BlockingIOError:
            return

    def _read_ready(self, timeout_seconds: float) -> None:
        """One turn: a chunk of each stream that has something."""
        has_read = False
        ended: list[Stream] = []
        for fd, happened in self._epoll.poll(timeout_seconds):
            if fd == self._wake:
                self._take_wake()
                continue
            stream = self.streams.get(fd)
            if stream is None or stream.is_fast:
                continue
            if not happened & select.EPOLLIN:
                ended.append(stream)
                continue
            has_read = True
            moved = self._move(stream)
            if moved >= FULL_BYTES:
                stream.is_fast = True
                stream.nap = stream.wake = 0.0
                self._fast.append(stream)
            elif moved <= 0 and happened & (select.EPOLLHUP | select.EPOLLERR):
                self._end(stream)
        if ended:
            self._read_ended(ended)
        if has_read:
            self._next_turn = time.monotonic() + TURN_SECONDS
            self._turned()

    def _read_ended(self, ended: list[Stream]) -> None:
        """What nobody writes to any more, and holds nothing: most often its child has just died.

        The main loop hears of that in this moment, too. It comes first; two threads of Python cannot both.
        """
        time.sleep(YIELD_SECONDS)
        for stream in ended:
            if self._move(stream) <= 0:
                self._end(stream)
        self._turned()

    def _read_fast(self) -> None:
        """A chunk of each fast stream whose nap is over; sleep when there is none."""
        now = time.monotonic()
        if now >= self._next_turn:
            self._next_turn = now + TURN_SECONDS
            self._turned()
            self._read_ready(0)
        soonest = self._next_turn
        for stream in tuple(self._fast):
            if stream.wake <= now:
                self._set_pace(stream, self._move(stream), now)
            if stream.is_fast:
                soonest = min(soonest, stream.wake)
        if not self._fast:
            # The next turn may be long in coming.
            self._turned()
        rest = soonest - time.monotonic()
        if rest >= 0.001:
            self._wake_poll.poll(rest * 1000)
            self._take_wake()
        elif rest > 0:
            time.sleep(rest)

    def _set_pace(self, stream: Stream, moved: int, now: float) -> None:
        if moved >= FULL_BYTES:
            stream.nap = stream.nap / 2 if stream.nap > SHORTEST_NAP_SECONDS else 0.0
        elif moved < FULL_BYTES // 2:
            stream.nap = max(2 * stream.nap, SHORTEST_NAP_SECONDS)
            if stream.nap >= TURN_SECONDS:
                self._slow_down(stream)
        stream.wake = now + stream.nap

    def _slow_down(self, stream: Stream) -> None:
        if stream.is_fast:
            stream.is_fast = False
            self._fast.remove(stream)
