"""What the log thread tells the main loop. Written by `worker`, taken with `LogWorker.results`."""

from typing import NamedTuple

from fleet_api.errors import FleetError


class Drained(NamedTuple):
    """All that a dead run had printed is in its logs. `closed`: nobody else holds its streams."""

    process: str
    run: int
    closed: bool


class RunClosed(NamedTuple):
    """The streams of a run that was drained earlier are closed: whoever else held them let go, or was
    let go of because too many such runs linger."""

    process: str
    run: int


class LogDescribed(NamedTuple):
    """The answer to `describe`.

    `segments` are (absolute offset of the first byte, read-only descriptor), oldest first, the last being
    the file in use; whoever takes the answer owns the descriptors. `end` is an absolute offset in bytes.
    With `error` there are no segments.
    """

    request: int
    log_id: str
    segments: list[tuple[int, int]]
    end: int
    error: FleetError | None = None


class LogGrew(NamedTuple):
    """A followed log now ends at this absolute offset."""

    request: int
    end: int


class LogRotated(NamedTuple):
    """A followed log goes on in another file, which begins at `start`; the taker owns `fd`."""

    request: int
    start: int
    fd: int


Result = Drained | RunClosed | LogDescribed | LogGrew | LogRotated
