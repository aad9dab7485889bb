"""One end of a FIFO, the run it belongs to, and the way of one chunk from there into the log.

Used by `worker`, in the log thread.
"""

import fcntl
import os
import select
import sys
import termios
from collections.abc import Callable

from fleet_agent.supervisor.logs import ansi
from fleet_agent.supervisor.logs.inflight import CHUNK_BYTES, Journal, Origin, encode_origin
from fleet_agent.supervisor.logs.logfile import LogFile

NO_ANSI = -1
"""The escape state of a stream that is not stripped."""

CLOSED = -1
"""What `Pump.move` gives at the end of a stream."""


class Run:
    """One life of a process, as far as its output goes."""

    __slots__ = ("is_ended", "process", "run", "streams")

    def __init__(self, process: str, run: int) -> None:
        self.process = process
        self.run = run
        self.streams: list[Stream] = []
        self.is_ended = False


class Stream:
    """The read end of one FIFO.

    `is_fast`: it is read more often than others, every `nap` seconds, next at `wake` on the monotonic clock.
    """

    __slots__ = (
        "_tail",
        "_tail_of",
        "ansi_state",
        "fd",
        "is_fast",
        "log",
        "name",
        "nap",
        "run",
        "wake",
    )

    def __init__(self, fd: int, run: Run, name: str, log: LogFile | None, is_stripped: bool) -> None:
        self.fd = fd
        self.run = run
        self.name = name
        self.log = log
        self.ansi_state = ansi.PLAIN if is_stripped else NO_ANSI
        self.is_fast = False
        self.nap = 0.0
        self.wake = 0.0
        self._tail = b""
        self._tail_of: tuple[str, int, int] | None = None

    def tail(self, log: LogFile, boot_id: str) -> bytes:
        """The journal's words about this stream, remade when its log changed."""
        key = (log.log_id, log.maxbytes, log.backups)
        if self._tail_of != key:
            origin = Origin(
                process=self.run.process,
                run=self.run.run,
                stream=self.name,
                path=log.path,
                log_id=log.log_id,
                is_auto=log.is_auto,
                maxbytes=log.maxbytes,
                backups=log.backups,
            )
            self._tail = encode_origin(origin, boot_id)
            self._tail_of = key
        return self._tail


class Pump:
    """Moves chunks from FIFOs to logs through the journal.

    `overheard(stream, data)` is told what was printed while `is_overheard`.
    """

    def __init__(
        self,
        journal: Journal,
        overheard: Callable[[Stream, bytes], None],
        crash_at: Callable[[str], None],
    ) -> None:
        self.is_overheard = False
        self._journal = journal
        self._overheard = overheard
        self._crash_at = crash_at
        self._answer = bytearray(4)
        self._poll = select.poll()

    def waiting(self, fd: int) -> int:
        """The bytes that a FIFO holds."""
        fcntl.ioctl(fd, termios.FIONREAD, self._answer)
        return int.from_bytes(self._answer, sys.byteorder)

    def move(self, stream: Stream, at_most: int = CHUNK_BYTES) -> int:
        """Move one chunk; gives its bytes, 0 when the FIFO is empty.

        Raises: OSError when the FIFO cannot be read at all.
        """
        count = self.waiting(stream.fd)
        if count == 0:
            return 0
        return max(0, self._move(stream, min(count, at_most)))

    def probe(self, stream: Stream) -> int:
        """Like `move`, but ask an empty FIFO whether anybody can still write to it: if not, CLOSED.

        Not by reading: recovery would take what was announced and is not there for read.
        """
        self._poll.register(stream.fd, 0)
        is_closed = bool(self._poll.poll(0))
        self._poll.unregister(stream.fd)
        moved = self.move(stream)
        return CLOSED if is_closed and moved == 0 else moved

    def _move(self, stream: Stream, count: int) -> int:
        journal, log = self._journal, stream.log
        if log is None or not log.prepare(count):
            moved = _read(stream.fd, journal.data[:count])
            if log is not None and moved > 0:
                log.lose(moved)
            return moved
        tail = stream.tail(log, journal.boot_id)
        journal.announce(tail, count, stream.ansi_state, log.offset, log.size, log.device, log.inode)
        self._crash_at("announced")
        moved = _read(stream.fd, journal.data[:count])
        self._crash_at("read")
        if moved > 0:
            data: bytes | memoryview = journal.data[:moved]
            if stream.ansi_state != NO_ANSI:
                data, stream.ansi_state = ansi.strip(bytes(data), stream.ansi_state)
            if len(data):
                log.append(data)
            if self.is_overheard:
                self._overheard(stream, bytes(data))
        journal.clear()
        self._crash_at("cleared")
        return moved


def _read(fd: int, into: memoryview) -> int:
    try:
        return os.readv(fd, [into]) or CLOSED
    except BlockingIOError:
        return 0
