"""One log of a process of this host, read from the files that the agent opened, through its door."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from fleet_api.door import Door
from fleet_api.errors import BadRequest, Broken, Conflict, FleetError
from fleet_api.logtail import Chunk, Cursor, LogTail

from fleet_cli.invocation import Invocation
from fleet_cli.local import READ_TIMEOUT_SECONDS, is_away
from fleet_cli.log_output import Amount, LogOutput, last_lines
from fleet_cli.retry import RESUME_SECONDS, Retry, patiently

_CHUNK_BYTES = 64 * 1024


class _Opened(NamedTuple):
    log_id: str
    segments: list[tuple[int, int]]
    end: int

    @property
    def length(self) -> int:
        """Bytes that are still there."""
        return self.end - self.segments[0][0] if self.segments else 0


class LocalLog:
    """Reads one log of this host's agent; `remote_log.RemoteLog` is the same for many hosts."""

    def __init__(
        self,
        path: str,
        process: str,
        stream: str,
        invocation: Invocation,
        output: LogOutput,
        timeout_seconds: float = READ_TIMEOUT_SECONDS,
    ) -> None:
        self._path = path
        self._wanted: dict[str, Any] = {"process": process, "stream": stream}
        self._invocation = invocation
        self._output = output
        self._timeout_seconds = timeout_seconds

    def show(self, amount: Amount) -> None:
        """Print the end of the log.

        Raises: NotFound for an unknown process or one without this log, and as `Door.request`.
        """

        def attempt() -> _Opened:
            with Door.connect(self._path) as door:
                reply, fds = door.request_with_fds(
                    "open_log", timeout_seconds=self._timeout_seconds, **self._wanted
                )
                return _opened(reply, fds)

        opened = patiently(attempt, lambda error: is_away(error, self._path), self._invocation.retry())
        tail = _tail(opened, _size(opened, amount))
        try:
            _print_unread(tail, self._output)
        finally:
            tail.close()

    def follow(self, amount: Amount) -> None:
        """Print the end of the log and whatever is added to it, until interrupted.

        Goes on at the byte it had reached when the supervisor is replaced, for as long as an agent comes
        back within a minute. Raises: as `show`.
        """
        place: Cursor | None = None
        retry = self._invocation.retry()
        has_said = False
        while True:
            try:
                with Door.connect(self._path) as door:
                    items = door.stream(
                        "follow_log", first_timeout_seconds=self._timeout_seconds, **self._wanted
                    )
                    for tail in _followed(items, amount, place, self._output):
                        if has_said:
                            self._output.note("", "the agent is back")
                        has_said = False
                        _print_unread(tail, self._output)
                        place = tail.cursor
                        retry = Retry(self._invocation.clock, self._invocation.sleep, RESUME_SECONDS)
            except FleetError as error:
                is_leaving = place is not None and error.code == "SHUTTING_DOWN"
                if not (is_away(error, self._path) or is_leaving):
                    raise
                if place is not None and not has_said:
                    self._output.note("", f"{error.message}; waiting for the agent")
                    has_said = True
                if not retry.wait_or_give_up():
                    raise
            else:
                if not retry.wait_or_give_up():
                    return


def _followed(
    items: Iterator[tuple[dict[str, Any], list[int]]], amount: Amount, place: Cursor | None, output: LogOutput
) -> Iterator[LogTail]:
    """The tail of the log each time there may be more to read."""
    tail: LogTail | None = None
    try:
        for item, fds in items:
            if tail is None:
                opened = _opened(item, fds)
                size = _size(opened, amount) if place is None else None
                tail = _tail(opened, size, place)
                if tail.note:
                    output.note("", tail.note)
            else:
                _take(tail, item, fds)
            yield tail
    finally:
        if tail is not None:
            tail.close()


def _take(tail: LogTail, item: dict[str, Any], fds: list[int]) -> None:
    """The log grew, or goes on in another file."""
    segment, end = item.get("segment"), item.get("end")
    if isinstance(segment, dict) and isinstance(segment.get("start"), int) and len(fds) == 1:
        with _as_agents_fault():
            tail.add_segment(segment["start"], fds[0])
    else:
        _close(fds)
    if isinstance(end, int):
        tail.move_end(end)


def _tail(opened: _Opened, size: int | None, place: Cursor | None = None) -> LogTail:
    with _as_agents_fault():
        return LogTail(opened.log_id, opened.segments, opened.end, size, place)


def _size(opened: _Opened, amount: Amount) -> int:
    """How many bytes the wanted end of the log has."""
    if amount.lines is None:
        return amount.size
    if amount.lines == 0:
        return 0
    size = 4096
    while True:
        found = last_lines(_last_bytes(opened, size), amount.lines)
        if found is not None:
            return len(found)
        if size >= opened.length:
            return size
        size *= 4


def _last_bytes(opened: _Opened, size: int) -> bytes:
    lent = opened._replace(segments=[(start, os.dup(fd)) for start, fd in opened.segments])
    tail = _tail(lent, size)
    pieces = []
    try:
        while (chunk := _read(tail)).data:
            pieces.append(chunk.data)
    finally:
        tail.close()
    return b"".join(pieces)


def _print_unread(tail: LogTail, output: LogOutput) -> None:
    while True:
        chunk = _read(tail)
        output.gap("", chunk.lost_bytes)
        output.write("", chunk.data)
        if not chunk.data and not chunk.lost_bytes:
            return


def _read(tail: LogTail) -> Chunk:
    try:
        return tail.read(_CHUNK_BYTES)
    except OSError as error:
        raise Conflict(
            "LOG_NOT_READABLE", f"the log cannot be read: {error.strerror}", "look at its disk"
        ) from error


@contextmanager
def _as_agents_fault() -> Iterator[None]:
    try:
        yield
    except BadRequest as error:
        raise Broken("LOG_NOT_DESCRIBED", f"the agent's description of the log: {error.message}") from error


def _opened(reply: dict[str, Any], fds: list[int]) -> _Opened:
    try:
        starts = [int(segment["start"]) for segment in reply["segments"]]
        if len(starts) != len(fds):
            raise ValueError(f"{len(starts)} segments, {len(fds)} descriptors")
        return _Opened(str(reply["log_id"]), list(zip(starts, fds, strict=True)), int(reply["end"]))
    except (LookupError, TypeError, ValueError) as error:
        _close(fds)
        raise Broken("LOG_NOT_DESCRIBED", f"the agent's description of the log: {error!r}") from error


def _close(fds: list[int]) -> None:
    for fd in fds:
        with suppress(OSError):
            os.close(fd)
