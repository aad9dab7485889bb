"""One ReadLog call: bytes of one log from a cursor or near its end, followed if asked.

Called by `service`. The supervisor gives read-only descriptors and tells where the log ends; the bytes
are read here, on a thread, since a disk may stall.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import closing
from typing import NamedTuple

from fleet_api import wire
from fleet_api.errors import BadRequest, Broken, Conflict, Unavailable
from fleet_api.logtail import Chunk, Cursor, LogTail
from fleet_api.v1 import agent_pb2

from fleet_agent.gateway.link import Item, Link, Stream, close_fds

CHUNK_BYTES = 64 * 1024
OPEN_TIMEOUT_SECONDS = 10.0


class LogRequest(NamedTuple):
    """What is asked: from `offset` of log `log_id`, or from `last_bytes` before the end when it is None."""

    process: str
    stream: str
    log_id: str
    offset: int | None
    last_bytes: int
    follow: bool


def parse_request(request: agent_pb2.ReadLogRequest) -> LogRequest:
    """The request, checked.

    Raises: BadRequest when it names no process or no stream.
    """
    if not request.process:
        raise BadRequest("PROCESS_MISSING", "the request names no process", "name one: group:name")
    streams = {agent_pb2.ReadLogRequest.STDOUT: "stdout", agent_pb2.ReadLogRequest.STDERR: "stderr"}
    stream = streams.get(request.stream)
    if stream is None:
        raise BadRequest("STREAM_MISSING", f"stream {request.stream} is neither STDOUT nor STDERR")
    has_cursor = request.HasField("after")
    return LogRequest(
        request.process,
        stream,
        request.after.log_id,
        request.after.offset if has_cursor else None,
        request.last_bytes,
        request.follow,
    )


def cursor_of(request: LogRequest, log_id: str, end: int) -> Cursor | None:
    """Where reading begins in the log with this id and end; None: before the end.

    Raises: Conflict when the cursor is of another log, or ahead of this one.
    """
    if request.offset is None:
        return None
    if request.log_id and request.log_id != log_id:
        raise Conflict(
            "LOG_CHANGED",
            f"the cursor is of log {request.log_id}; {request.process} now writes {log_id}",
            "read without a cursor",
        )
    if request.offset > end:
        raise Conflict(
            "LOG_CURSOR_AHEAD",
            f"the cursor stands at byte {request.offset}; the log of {request.process} ends at {end}",
            "read without a cursor",
        )
    return Cursor(log_id, request.offset)


async def read_log(link: Link, request: LogRequest) -> AsyncGenerator[agent_pb2.ReadLogResponse, None]:
    """Chunks of at most 64 KiB; the first, perhaps empty, tells the cursor. A followed log has no end.

    Raises: NotFound for an unknown process or one without this log; Conflict as `cursor_of`.
    """
    if not request.follow:
        item = await link.call_with_fds(
            "open_log",
            timeout_seconds=OPEN_TIMEOUT_SECONDS,
            process=request.process,
            stream=request.stream,
        )
        log = _Log(request, item)
        with closing(log):
            async for response in log.unread():
                yield response
        return
    async with link.stream("follow_log", process=request.process, stream=request.stream) as items:
        first = await anext(items, None)
        if first is None:
            return
        log = _Log(request, first)
        with closing(log):
            async for response in log.unread():
                yield response
            async for response in _followed(log, items):
                yield response


async def _followed(log: "_Log", items: Stream) -> AsyncIterator[agent_pb2.ReadLogResponse]:
    async for item in items:
        # What came while the client was slow is taken at once: only the newest end matters.
        waiting = [item, *items.take_waiting()]
        while waiting:
            try:
                log.take(waiting[0])
            except BaseException:
                for left in waiting[1:]:
                    close_fds(left.fds)
                raise
            del waiting[0]
        async for response in log.unread():
            yield response


class _Log:
    """An open log and the place reached in it."""

    def __init__(self, request: LogRequest, item: Item) -> None:
        try:
            cursor = cursor_of(request, str(item.body["log_id"]), int(item.body["end"]))
        except (LookupError, TypeError, ValueError) as error:
            close_fds(item.fds)
            raise _not_described(error) from error
        except BaseException:
            close_fds(item.fds)
            raise
        last_bytes = request.last_bytes if cursor is None else None
        try:
            self._tail = LogTail.from_reply(item.body, item.fds, last_bytes, cursor)
        except BadRequest as error:
            raise _not_described(error) from error
        self._is_first = True
        self._reading: asyncio.Future[Chunk] | None = None

    def take(self, item: Item) -> None:
        """The log grew, or goes on in another file."""
        end, segment = item.body.get("end"), item.body.get("segment")
        if isinstance(segment, dict) and isinstance(segment.get("start"), int) and len(item.fds) == 1:
            try:
                self._tail.add_segment(segment["start"], item.fds[0])
            except BadRequest as error:
                raise _not_described(error) from error
        else:
            close_fds(item.fds)
        if isinstance(end, int):
            self._tail.move_end(end)

    async def unread(self) -> AsyncIterator[agent_pb2.ReadLogResponse]:
        """All that is written and was not read."""
        while True:
            self._reading = asyncio.ensure_future(asyncio.to_thread(self._tail.read, CHUNK_BYTES))
            # Shielded: a thread cannot be cancelled, and must not lose its file on the way.
            try:
                chunk = await asyncio.shield(self._reading)
            except OSError as error:
                raise Unavailable(
                    "LOG_NOT_READABLE",
                    f"the log cannot be read: {error.strerror}",
                    "see the disk of that host",
                ) from error
            if not chunk.data and not chunk.lost_bytes and not self._is_first:
                return
            self._is_first = False
            yield agent_pb2.ReadLogResponse(
                chunk=wire.log_chunk(self._tail.log_id, chunk.start, chunk.data, chunk.lost_bytes)
            )

    def close(self) -> None:
        """Close the files, as soon as no thread reads them."""
        if self._reading is None or self._reading.done():
            self._tail.close()
        else:
            self._reading.add_done_callback(self._close_after)

    def _close_after(self, reading: "asyncio.Future[Chunk]") -> None:
        reading.exception()  # seen: nobody waits for it any more
        self._tail.close()


def _not_described(error: Exception) -> Broken:
    return Broken("LOG_NOT_DESCRIBED", f"the supervisor's description of the log: {error!r}")
