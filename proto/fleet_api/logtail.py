"""Reading one log through its descriptors, by absolute position, over every rotation.

The supervisor hands out the files of a log and says how far it is written; whoever has them (the
gateway, fleetctl on the same host) reads by itself:

    tail = LogTail(start, [(0, fd_of_the_backup), (5000, fd_of_the_file_in_use)], end)
    chunk = tail.read(65536)        # what is there after `start`
    tail.add_segment(9000, fd)      # it goes on in another file
    tail.move_end(9300)             # it has grown

A position before the oldest file is gone: the next chunk says how many bytes that cost.
"""

import os
from collections import deque
from typing import NamedTuple


class Chunk(NamedTuple):
    """Bytes of a log and the absolute position of the first; `lost_bytes` before it are gone for ever."""

    start: int
    data: bytes
    lost_bytes: int = 0

    @property
    def end(self) -> int:
        """The position behind the last byte: where to go on."""
        return self.start + len(self.data)


def last_bytes(end: int, count: int) -> int:
    """The position `count` bytes before the end, or the beginning of the log."""
    return max(0, end - max(0, count))


class LogTail:
    """Owns the descriptors it is given and a position; `read` never waits for what is not written."""

    def __init__(self, start: int, segments: list[tuple[int, int]], end: int) -> None:
        """`segments` are (absolute position of the first byte, read-only descriptor), oldest first."""
        self._position = max(0, start)
        self._segments = deque(segments)
        self._end = end

    @property
    def position(self) -> int:
        """The absolute position that is read next."""
        return self._position

    def add_segment(self, start: int, fd: int) -> None:
        """The log goes on in this file, from `start` on."""
        self._segments.append((start, fd))
        self._end = max(self._end, start)

    def move_end(self, end: int) -> None:
        """The log is written up to here."""
        self._end = max(self._end, end)

    def read(self, max_bytes: int) -> Chunk:
        """What is written at the position, at most so many bytes; empty when there is no more yet."""
        lost = 0
        while self._segments:
            start, fd = self._segments[0]
            if self._position < start:
                lost += start - self._position
                self._position = start
            limit = self._segments[1][0] if len(self._segments) > 1 else self._end
            wanted = min(max_bytes, limit - self._position)
            data = os.pread(fd, wanted, self._position - start) if wanted > 0 else b""
            if data:
                chunk = Chunk(self._position, data, lost)
                self._position += len(data)
                return chunk
            if len(self._segments) == 1:
                break
            # The rest of a file that another has followed: read, or cut off by somebody.
            lost += max(0, limit - self._position)
            self._position = max(self._position, limit)
            os.close(fd)
            self._segments.popleft()
        return Chunk(self._position, b"", lost)

    def close(self) -> None:
        """Close the files."""
        while self._segments:
            os.close(self._segments.popleft()[1])
