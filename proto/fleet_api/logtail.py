"""Reading a log across its rotations: from the descriptors that an agent's door hands out.

Used by fleetctl on the agent's own host, and by the gateway for everybody else. A log is a row of files;
positions are absolute offsets in bytes that run on over all of them.
"""

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from fleet_api.errors import BadRequest


class Cursor(NamedTuple):
    """A place in a log: valid as long as the log has this id."""

    log_id: str
    offset: int


class Chunk(NamedTuple):
    """Bytes of a log; `start` is the absolute offset of the first.

    `lost_bytes` before `start` were asked for and are gone. Empty `data`: nothing more for now.
    """

    start: int
    data: bytes
    lost_bytes: int


class LogTail:
    """A reader that stands somewhere in a log. Owns the descriptors it is given, closes each once passed.

    `note` says in words where the log did not allow to begin at the place asked for; else it is "".
    """

    def __init__(
        self,
        log_id: str,
        segments: Sequence[tuple[int, int]],
        end: int,
        last_bytes: int | None = None,
        cursor: Cursor | None = None,
    ) -> None:
        """Stand `last_bytes` before the end, or at `cursor`; at the oldest byte when neither is given.

        `segments` are (absolute start, descriptor), oldest first. A cursor that is older than the oldest
        byte begins there and its first chunk tells `lost_bytes`; one of another log begins at the
        oldest byte, or at the last `last_bytes` when these are given too; one past the end, at the end.

        Raises: BadRequest when there is no segment, or they are out of order (the descriptors are closed).
        """
        self.log_id = log_id
        self.note = ""
        self._segments = list(segments)
        starts = [start for start, _ in self._segments]
        if not starts or starts != sorted(starts) or starts[0] < 0 or end < starts[-1]:
            self.close()
            raise BadRequest("BAD_LOG_SEGMENTS", f"a log in segments from {starts[:20]} that ends at {end}")
        self._end = end
        self._position = self._begin(last_bytes, cursor)

    @classmethod
    def from_reply(
        cls,
        reply: dict[str, Any],
        fds: Sequence[int],
        last_bytes: int | None = None,
        cursor: Cursor | None = None,
    ) -> "LogTail":
        """A reader from the door's answer to open_log, or the first item of follow_log.

        Raises: BadRequest when the answer is malformed (the descriptors are closed).
        """
        try:
            starts = [_offset(segment["start"]) for segment in reply["segments"]]
            end = _offset(reply["end"])
            log_id = reply["log_id"]
            if len(starts) != len(fds) or not isinstance(log_id, str):
                raise ValueError(f"{len(starts)} segments and {len(fds)} descriptors")
        except (KeyError, TypeError, ValueError) as error:
            for fd in fds:
                os.close(fd)
            raise BadRequest("BAD_LOG_SEGMENTS", f"not the description of a log: {error!r}") from error
        return cls(log_id, list(zip(starts, fds, strict=True)), end, last_bytes, cursor)

    def _begin(self, last_bytes: int | None, cursor: Cursor | None) -> int:
        oldest = self._segments[0][0]
        if cursor is not None and cursor.log_id == self.log_id:
            if cursor.offset > self._end:
                self.note = f"the log ends at byte {self._end}, before byte {cursor.offset}"
            return min(cursor.offset, self._end)
        if cursor is not None:
            self.note = "the log was replaced by another since; byte positions begin anew"
        return oldest if last_bytes is None else max(oldest, self._end - max(0, last_bytes))

    @property
    def cursor(self) -> Cursor:
        """Where the next chunk begins."""
        return Cursor(self.log_id, self._position)

    @property
    def end(self) -> int:
        """The known end of the log, an absolute offset."""
        return self._end

    def move_end(self, end: int) -> None:
        """The log ends here now; it never gets shorter."""
        self._end = max(self._end, end)

    def add_segment(self, start: int, fd: int) -> None:
        """The log goes on in another file, which begins at `start`."""
        if start < self._segments[-1][0]:
            os.close(fd)
            raise BadRequest(
                "BAD_LOG_SEGMENTS", f"a segment from {start} after the one from {self._segments[-1][0]}"
            )
        self._segments.append((start, fd))
        self.move_end(start)

    def read(self, max_bytes: int) -> Chunk:
        """The next bytes, at most `max_bytes`.

        Raises: OSError when a file cannot be read.
        """
        asked = self._position
        while True:
            self._pass_segments()
            start, fd = self._segments[0]
            self._position = max(self._position, start)
            is_last = len(self._segments) == 1
            limit = self._end if is_last else self._segments[1][0]
            wanted = min(max_bytes, limit - self._position)
            data = os.pread(fd, wanted, self._position - start) if wanted > 0 else b""
            if data or is_last or wanted <= 0:
                break
            self._position = limit  # the file is shorter than the log was: what is missing is gone
        begin = self._position
        self._position += len(data)
        return Chunk(begin, data, begin - asked)

    def close(self) -> None:
        """Close all descriptors."""
        for _, fd in self._segments:
            os.close(fd)
        self._segments = []

    def _pass_segments(self) -> None:
        while len(self._segments) > 1 and self._segments[1][0] <= self._position:
            os.close(self._segments.pop(0)[1])


def _offset(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no offset")
    return value
