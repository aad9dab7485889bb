"""One end of a link: a stream socket that carries frames, and descriptors beside them, without blocking.

Used by keeper, supervisor and local door. The owner watches `fileno()` for reading, and for writing
while `wants_write`; nothing here waits. Descriptors ride on the first byte of their frame, whose
"fds" tells how many they are.
"""

import errno
import os
import socket
from array import array
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from fleet_api.errors import BadRequest
from fleet_api.frames import MAX_FRAME_BYTES, Decoder, Frame, encode

_READ_BYTES = 64 * 1024
# The kernel ends a read at each set of descriptors, so a burst of such frames needs several reads.
_READS_PER_TURN = 64
_BUFFERS_PER_WRITE = 64
# SCM_MAX_FD: no single message carries more.
_MAX_FDS = 253
_ANCILLARY_BYTES = socket.CMSG_SPACE(_MAX_FDS * array("i").itemsize)
_RECEIVE_FLAGS = getattr(socket, "MSG_CMSG_CLOEXEC", 0)
_SEND_FLAGS = getattr(socket, "MSG_NOSIGNAL", 0)
_GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN})
# ETOOMANYREFS: too many descriptors are in flight until the peer reads.
_LATER = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})


class Received(NamedTuple):
    """One frame and its descriptors, which now belong to the reader."""

    frame: Frame
    fds: list[int]

    def close(self) -> None:
        """Close the descriptors: for a reader that did not expect any."""
        _close_all(self.fds)


class Channel:
    """One end of a link; it owns the socket and, once `send` had to queue, duplicates of descriptors."""

    def __init__(self, sock: socket.socket, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._decoder = Decoder(max_frame_bytes)
        self._fds: deque[int] = deque()
        self._queue: deque[tuple[memoryview, list[int]]] = deque()
        self._ended = False
        self._is_drained = False
        self.queued_bytes = 0

    def fileno(self) -> int:
        """The descriptor to watch; -1 once closed."""
        return self._sock.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether something waits for the peer to read."""
        return bool(self._queue)

    def send(self, frame: Frame, fds: Sequence[int] = ()) -> None:
        """Send now or queue; the descriptors stay the caller's and may be closed on return.

        A frame to a peer that is gone is dropped: `receive` tells of its end.
        Raises: BadRequest when the frame is too large; OSError when a descriptor cannot be duplicated.
        """
        data = memoryview(encode({**frame, "fds": len(fds)} if fds else frame))
        if not self._queue:
            sent = self._write([data], fds)
            if sent == len(data):
                return
            if sent:
                data, fds = data[sent:], ()
        if self._is_gone:
            return
        self._queue.append((data, _duplicate(fds)))
        self.queued_bytes += len(data)

    def flush(self) -> None:
        """Write what waits, as far as the peer takes it."""
        while self._queue:
            buffers, fds = self._batch()
            sent = self._write(buffers, fds)
            self._drop(sent)
            if not sent:
                return

    def receive(self) -> list[Received] | None:
        """The frames that have come; None at the end of the stream, even if it cuts a frame short.

        Raises: BadRequest on garbage, after which the channel is good for nothing but `close`.
        """
        if self._ended:
            return None
        received: list[Received] = []
        size = 0
        try:
            for _ in range(_READS_PER_TURN):
                data = self._read()
                if data is None:
                    break
                if not data:
                    self._ended = True
                    return received or None
                for frame in self._decoder.feed(data):
                    received.append(Received(frame, self._take(frame)))  # noqa: PERF401 - kept if feed raises
                if self._fds and self._decoder.is_between_frames:
                    raise BadRequest("DESCRIPTORS_UNASKED", "descriptors came that no frame tells of")
                size += len(data)
                if self._is_drained or size >= _READ_BYTES:
                    break
        except BaseException:
            for item in received:
                item.close()
            raise
        return received

    def close(self) -> None:
        """Close the socket and every descriptor that is held for a frame."""
        self._sock.close()
        self._drop_all()
        _close_all(self._fds)
        self._fds.clear()

    @property
    def _is_gone(self) -> bool:
        return self._sock.fileno() < 0

    def _batch(self) -> tuple[list[memoryview], list[int]]:
        """The first waiting frame, and those behind it up to the next that carries descriptors."""
        first, fds = self._queue[0]
        buffers = [first]
        for index, (data, following) in enumerate(self._queue):
            if index and (following or index == _BUFFERS_PER_WRITE):
                break
            if index:
                buffers.append(data)
        return buffers, fds

    def _write(self, buffers: list[memoryview], fds: Sequence[int]) -> int:
        if self._is_gone:
            self._drop_all()
            return 0
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))] if fds else []
        try:
            return self._sock.sendmsg(buffers, ancillary, _SEND_FLAGS)
        except OSError as error:
            if error.errno in _GONE:
                self._drop_all()
                # What the peer had sent before it went can still be read.
                return sum(len(data) for data in buffers)
            if error.errno in _LATER:
                return 0
            raise

    def _drop(self, sent: int) -> None:
        while sent and self._queue:
            data, fds = self._queue.popleft()
            _close_all(fds)
            done = min(sent, len(data))
            sent -= done
            self.queued_bytes -= done
            if done < len(data):
                self._queue.appendleft((data[done:], []))

    def _drop_all(self) -> None:
        while self._queue:
            _close_all(self._queue.popleft()[1])
        self.queued_bytes = 0

    def _read(self) -> bytes | None:
        try:
            data, ancillary, flags, _ = self._sock.recvmsg(_READ_BYTES, _ANCILLARY_BYTES, _RECEIVE_FLAGS)
        except BlockingIOError:
            return None
        except ConnectionError:
            return b""
        # A read that is short, though no descriptors ended it, took all there was.
        self._is_drained = len(data) < _READ_BYTES and not ancillary
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                self._fds.extend(fds)
                if not _RECEIVE_FLAGS:
                    for fd in fds:
                        os.set_inheritable(fd, False)
        if flags & socket.MSG_CTRUNC:
            raise BadRequest(
                "DESCRIPTORS_LOST",
                "descriptors that came with a frame found no place",
                "raise the limit of open files (ulimit -n)",
            )
        if len(self._fds) > 2 * _MAX_FDS:
            raise BadRequest(
                "DESCRIPTORS_UNASKED", f"{len(self._fds)} descriptors came that no frame tells of"
            )
        return data

    def _take(self, frame: Frame) -> list[int]:
        count = frame.get("fds", 0)
        if type(count) is not int or not 0 <= count <= len(self._fds):
            raise BadRequest(
                "DESCRIPTORS_MISSING", f"a frame tells of {count!r} descriptors; {len(self._fds)} came"
            )
        return [self._fds.popleft() for _ in range(count)]


def _duplicate(fds: Sequence[int]) -> list[int]:
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))  # noqa: PERF401 - those made are closed if one fails
    except OSError:
        _close_all(copies)
        raise
    return copies


def _close_all(fds: Sequence[int] | deque[int]) -> None:
    for fd in fds:
        os.close(fd)
