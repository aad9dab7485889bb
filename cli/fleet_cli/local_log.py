"""One log of a process of this host, read from the files that the agent opened, through its door."""

import os
from contextlib import suppress
from typing import Any, NamedTuple

from fleet_api.door import Door
from fleet_api.errors import Broken, FleetError
from fleet_api.logtail import LogTail

from fleet_cli.invocation import Invocation
from fleet_cli.local import READ_TIMEOUT_SECONDS, is_away
from fleet_cli.log_output import LogOutput, last_lines
from fleet_cli.retry import Retry, patiently

RESUME_SECONDS = 60.0
_CHUNK_BYTES = 64 * 1024


class Amount(NamedTuple):
    """How much of the end of a log is wanted: lines, or bytes when `lines` is None."""

    size: int
    lines: int | None = None


class _Opened(NamedTuple):
    log_id: str
    segments: list[tuple[int, int]]
    end: int

    @property
    def oldest(self) -> int:
        return self.segments[0][0] if self.segments else self.end


def show(
    path: str, process: str, stream: str, amount: Amount, invocation: Invocation, output: LogOutput
) -> None:
    """Print the end of the log.

    Raises: NotFound for an unknown process or one without this log, and as `Door.request`.
    """

    def attempt() -> _Opened:
        with Door.connect(path) as door:
            reply, fds = door.request_with_fds(
                "open_log", timeout_seconds=READ_TIMEOUT_SECONDS, process=process, stream=stream
            )
            return _opened(reply, fds)

    opened = patiently(attempt, lambda error: is_away(error, path), invocation.retry())
    tail = LogTail(_start(opened, amount), opened.segments, opened.end)
    try:
        _print_unread(tail, output)
    finally:
        tail.close()


def follow(
    path: str, process: str, stream: str, amount: Amount, invocation: Invocation, output: LogOutput
) -> None:
    """Print the end of the log and whatever is added to it, until interrupted.

    Goes on at the byte it had reached when the supervisor is replaced, for as long as an agent comes
    back within a minute. Raises: as `show`.
    """
    place: tuple[str, int] | None = None
    retry = invocation.retry()
    has_said = False
    while True:
        try:
            with Door.connect(path) as door:
                for tail, log_id in _followed(door, process, stream, amount, place, output):
                    if has_said:
                        output.note("", "the agent is back")
                    place, has_said = (log_id, _print_unread(tail, output)), False
                    retry = Retry(invocation.clock, invocation.sleep, RESUME_SECONDS)
        except FleetError as error:
            if not (is_away(error, path) or (place is not None and error.code == "SHUTTING_DOWN")):
                raise
            if place is not None and not has_said:
                output.note("", f"{error.message}; waiting for the agent")
                has_said = True
            if not retry.wait_or_give_up():
                raise
        else:
            if not retry.wait_or_give_up():
                return


def _followed(
    door: Door, process: str, stream: str, amount: Amount, place: tuple[str, int] | None, output: LogOutput
) -> Any:
    """The tail of the log each time there may be more to read."""
    tail: LogTail | None = None
    log_id = ""
    try:
        for item, fds in door.stream("follow_log", process=process, stream=stream):
            if tail is None:
                opened = _opened(item, fds)
                log_id = opened.log_id
                tail = LogTail(_resume(opened, amount, place, output), opened.segments, opened.end)
            elif isinstance(item.get("segment"), dict) and len(fds) == 1:
                tail.add_segment(int(item["segment"]["start"]), fds[0])
            else:
                _close(fds)
            if isinstance(item.get("end"), int):
                tail.move_end(item["end"])
            yield tail, log_id
    finally:
        if tail is not None:
            tail.close()


def _resume(opened: _Opened, amount: Amount, place: tuple[str, int] | None, output: LogOutput) -> int:
    if place is None:
        return _start(opened, amount)
    log_id, offset = place
    if log_id == opened.log_id and offset <= opened.end:
        return offset
    output.note("", "the log began anew")
    return opened.oldest


def _start(opened: _Opened, amount: Amount) -> int:
    """The absolute byte where the wanted end of the log begins."""
    if amount.lines is None:
        return max(opened.oldest, opened.end - amount.size)
    if amount.lines == 0:
        return opened.end
    size = 4096
    while True:
        start = max(opened.oldest, opened.end - size)
        data = _bytes_between(opened, start)
        found = last_lines(data, amount.lines)
        if found is not None:
            return opened.end - len(found)
        if start == opened.oldest:
            return start
        size *= 4


def _bytes_between(opened: _Opened, start: int) -> bytes:
    duplicates = [(first, os.dup(fd)) for first, fd in opened.segments]
    tail = LogTail(start, duplicates, opened.end)
    pieces = []
    try:
        while (chunk := tail.read(_CHUNK_BYTES)).data:
            pieces.append(chunk.data)
    finally:
        tail.close()
    return b"".join(pieces)


def _print_unread(tail: LogTail, output: LogOutput) -> int:
    """Print all there is; returns the absolute byte reached."""
    while True:
        chunk = tail.read(_CHUNK_BYTES)
        output.gap("", chunk.lost_bytes)
        output.write("", chunk.data)
        if not chunk.data and not chunk.lost_bytes:
            return int(chunk.start)


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
