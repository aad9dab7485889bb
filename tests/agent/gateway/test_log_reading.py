"""Logs over the wire: their end, followed over rotations, resumed by cursor, refused with words."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fakes.running_gateway import SECONDS, refusal
from fakes.supervisor import FakeLog, FakeSupervisor
from fleet_agent.gateway import log_reading
from fleet_agent.gateway.link import Link
from fleet_agent.gateway.log_reading import LogRequest, cursor_of, parse_request
from fleet_api import wire
from fleet_api.errors import BadRequest, Broken, Conflict, FleetError, NotFound
from fleet_api.logtail import Cursor
from fleet_api.v1 import agent_pb2, types_pb2


@pytest.fixture
def log(launch: Any, tmp_path: Path) -> Iterator[Any]:
    gateway = launch()
    opened = FakeLog(gateway.supervisor, tmp_path)
    opened.gateway = gateway  # type: ignore[attr-defined]
    yield opened
    opened.close()


def read_log(stub: Any, **fields: Any) -> Any:
    fields = {"process": "web", "stream": agent_pb2.ReadLogRequest.STDOUT, **fields}
    return stub.ReadLog(agent_pb2.ReadLogRequest(**fields), timeout=SECONDS)


def joined(responses: Any) -> bytes:
    return b"".join(response.chunk.data for response in responses)


def take(call: Any, count: int) -> bytes:
    """Exactly `count` bytes of a followed log; checks that the cursors join."""
    data = b""
    behind = None
    while len(data) < count:
        chunk = next(call).chunk
        assert len(chunk.data) <= 64 * 1024
        assert chunk.next.offset == chunk.cursor.offset + len(chunk.data)
        assert behind is None or chunk.cursor.offset == behind + chunk.lost_bytes
        behind = chunk.next.offset
        data += chunk.data
    assert len(data) == count
    return data


def test_the_end_of_a_log_is_read_over_a_rotation(log: Any) -> None:
    log.write(b"a" * 100_000)
    log.rotate()
    log.write(b"b" * 100_000)
    stub = log.gateway.stub()
    assert joined(read_log(stub, last_bytes=150_000)) == b"a" * 50_000 + b"b" * 100_000
    assert joined(read_log(stub, last_bytes=10**9)) == b"a" * 100_000 + b"b" * 100_000
    (only,) = read_log(stub)
    assert (only.chunk.data, only.chunk.cursor.offset) == (b"", 200_000)


def test_a_log_is_followed_over_rotations(log: Any) -> None:
    stub = log.gateway.stub()
    log.write(b"old")
    call = read_log(stub, follow=True, last_bytes=1)
    assert take(call, 1) == b"d"
    written = b""
    for number in range(20):
        line = b"line %d\n" % number
        log.write(line)
        written += line
        if number % 5 == 0:
            log.rotate()
    assert take(call, len(written)) == written
    number = log.gateway.supervisor.requests("follow_log")[0]["id"]
    call.cancel()
    supervisor = log.gateway.supervisor
    supervisor.wait_for(lambda: number in supervisor.cancelled, "cancel")


def test_a_log_goes_on_behind_a_cursor_and_tells_what_was_lost(log: Any) -> None:
    stub = log.gateway.stub()
    log.write(b"0123456789")
    cursor = wire.log_cursor("log-1", 4)
    assert joined(read_log(stub, after=cursor)) == b"456789"
    for _ in range(3):
        log.rotate(keep=1)
        log.write(b"abcdef")
    responses = list(read_log(stub, after=cursor))
    assert joined(responses) == b"abcdef" * 2
    assert sum(response.chunk.lost_bytes for response in responses) == 12


@pytest.mark.parametrize(
    ("fields", "cls", "code"),
    [
        ({"after": wire.log_cursor("log-0", 4)}, Conflict, "LOG_CHANGED"),
        ({"after": wire.log_cursor("log-1", 400)}, Conflict, "LOG_CURSOR_AHEAD"),
        ({"after": wire.log_cursor("log-1", 400), "follow": True}, Conflict, "LOG_CURSOR_AHEAD"),
        ({"process": "nope"}, NotFound, "NO_SUCH_PROCESS"),
        ({"process": "nope", "follow": True}, NotFound, "NO_SUCH_PROCESS"),
        ({"process": ""}, BadRequest, "PROCESS_MISSING"),
        ({"stream": 0}, BadRequest, "STREAM_MISSING"),
    ],
)
def test_logs_that_cannot_be_read_say_why(log: Any, fields: Any, cls: type, code: str) -> None:
    stub = log.gateway.stub()
    error = refusal(lambda: list(read_log(stub, **fields)))
    assert isinstance(error, cls)
    assert error.code == code


def test_no_file_stays_open_however_a_reader_ends(tmp_path: Path) -> None:
    supervisor = FakeSupervisor([])
    log = FakeLog(supervisor, tmp_path)
    log.write(b"x" * 100)
    log.rotate()
    supervisor.start()

    seen: list[bytes] = []

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def until(condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - the kernel tells nobody when a file is closed
            await asyncio.sleep(0.001)

    async def read(link: Link, request: LogRequest) -> None:
        async with contextlib.aclosing(log_reading.read_log(link, request)) as responses:
            async for response in responses:
                seen.append(response.chunk.data)  # noqa: PERF401 - looked at on the way

    async def run() -> None:
        link = Link(socket.socket(fileno=supervisor.theirs.detach()))
        request = LogRequest("web", "stdout", "", None, 50, follow=False)
        await asyncio.to_thread(int)  # the pool of threads opens what it needs
        before = open_files()
        await read(link, request)
        assert seen == [b"x" * 50]
        seen.clear()
        assert open_files() == before
        for wrong in (request._replace(log_id="log-0", offset=4), request._replace(process="nope")):
            for follow in (False, True):
                with pytest.raises(FleetError):
                    await read(link, wrong._replace(follow=follow))
        assert open_files() == before
        follower = asyncio.ensure_future(read(link, request._replace(follow=True)))
        await until(lambda: seen[-1:] == [b"x" * 50])
        log.rotate()
        log.write(b"after")
        await until(lambda: seen[-1] == b"after")
        assert open_files() > before + 1  # the log's own new file, and what the follower reads
        follower.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await follower
        await until(lambda: open_files() <= before + 1)
        link.close()

    try:
        asyncio.run(asyncio.wait_for(run(), SECONDS))
    finally:
        log.close()
        supervisor.end()


# ---------------------------------------------------------------- pure


@pytest.mark.pure
def test_reading_begins_at_the_cursor_or_before_the_end() -> None:
    request = LogRequest("web", "stdout", "log-1", None, 30, False)
    assert cursor_of(request, "log-1", 100) is None
    for offset in (0, 5, 100):
        assert cursor_of(request._replace(offset=offset), "log-1", 100) == Cursor("log-1", offset)


@pytest.mark.pure
def test_a_cursor_without_a_log_id_counts_in_the_log_that_is() -> None:
    request = agent_pb2.ReadLogRequest(
        process="web", stream=agent_pb2.ReadLogRequest.STDERR, after=types_pb2.LogCursor(offset=3)
    )
    parsed = parse_request(request)
    assert (parsed.stream, parsed.offset) == ("stderr", 3)
    assert cursor_of(parsed, "log-9", 10) == Cursor("log-9", 3)


@pytest.mark.parametrize(
    "described",
    [
        {},
        {"log_id": "log-1", "segments": [], "end": 0},
        {"log_id": "log-1", "segments": [{"start": 0}], "end": 7},
        {"log_id": "log-1", "segments": 7, "end": "seven"},
    ],
)
def test_a_log_that_is_described_wrongly_is_our_bug(log: Any, described: Any) -> None:
    supervisor = log.gateway.supervisor
    supervisor.streams["open_log"] = lambda number, frame: supervisor._send({"id": number, "ok": described})
    error = refusal(lambda: list(read_log(log.gateway.stub())))
    assert isinstance(error, Broken)
    assert error.code == "LOG_NOT_DESCRIBED"
