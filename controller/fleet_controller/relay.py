"""Brings logs of one or many hosts to one operator: a cursor a host, in turns, each host on its own.

Called by `service`. A host that fails ends with its reason and the others go on; one whose gateway is
replaced goes on where it stopped.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from fleet_api import wire
from fleet_api.errors import Broken, FleetError, Unavailable
from fleet_api.v1 import agent_pb2, controller_pb2, types_pb2

from fleet_controller.core import outcome
from fleet_controller.log import Log
from fleet_controller.messages import BUCKETS
from fleet_controller.session import REPLACEMENT_SECONDS, RETRY_PAUSE_SECONDS, answered
from fleet_controller.sessions import Sessions
from fleet_controller.state import Pulse

HELD_CHUNKS = 4
"""Chunks a host may be ahead of a slow reader."""

MAX_CHUNK_BYTES = 1024 * 1024
"""Agents send 64 KiB at once; a message too large to be passed on would end the whole answer."""

IDLE_SECONDS = 60.0
"""The longest wait without news; only to have a bound."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to read, on which hosts, from where; `host_timeout_seconds` bounds a read without follow."""

    hosts: Sequence[str]
    request: agent_pb2.ReadLogRequest
    after: Mapping[str, types_pb2.LogCursor]
    host_timeout_seconds: float


@dataclass(slots=True)
class _Source:
    """One host's chunks on their way."""

    host: str
    waiting: deque[controller_pb2.ReadFleetLogResponse] = field(default_factory=deque)
    has_room: Pulse = field(default_factory=Pulse)
    is_ended: bool = False


class Relay:
    """All logs being read; `run` owns their tasks."""

    def __init__(
        self, sessions: Sessions, clock: Callable[[], float], dice: Callable[[], float], log: Log
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._dice = dice
        self._log = log
        self._tasks: asyncio.TaskGroup | None = None
        self._is_leaving = asyncio.Event()
        self._readers: set[Pulse] = set()

    async def run(self, is_ready: asyncio.Event) -> None:
        """Hold the tasks of readers until `leave`; those that follow end then."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            is_ready.set()
            await self._is_leaving.wait()

    def leave(self) -> None:
        """End all readers; each operator is told why."""
        self._is_leaving.set()
        for news in self._readers:
            news.beat()

    async def read(self, wish: Wish) -> AsyncGenerator[controller_pb2.ReadFleetLogResponse, None]:
        """Yield what the hosts have, in turns; ends when all have ended.

        Raises: Unavailable CONTROLLER_LEAVING.
        """
        assert self._tasks is not None, "run() comes first"
        news = Pulse()
        self._readers.add(news)
        sources = [_Source(host) for host in wish.hosts]
        tasks = [
            self._tasks.create_task(self._source(source, wish, news), name=f"log {source.host}")
            for source in sources
        ]
        try:
            while sources:
                is_idle = True
                for source in sources:
                    if source.waiting:
                        is_idle = False
                        yield source.waiting.popleft()
                        source.has_room.beat()
                sources = [source for source in sources if source.waiting or not source.is_ended]
                if self._is_leaving.is_set():
                    raise Unavailable(
                        "CONTROLLER_LEAVING", "the controller is leaving", "go on from your cursors elsewhere"
                    )
                if is_idle and sources:
                    await news.wait(IDLE_SECONDS)
        finally:
            self._readers.discard(news)
            for task in tasks:
                task.cancel()

    async def _source(self, source: _Source, wish: Wish, news: Pulse) -> None:
        """Read one host to its end, whatever that is."""
        try:
            await self._read(source, wish, news)
        except FleetError as error:
            bucket = outcome.of_error(error, is_change=False, was_sent=True)
            source.waiting.append(_end(source.host, BUCKETS[bucket], error))
        except Exception as error:  # a bug of ours costs one host its log, not the operator the others
            self._log.error("log relay failed", host=source.host, error=repr(error))
            failure = Broken("RELAY_FAILED", f"the controller failed on {source.host}: {error!r}")
            source.waiting.append(_end(source.host, controller_pb2.HostOutcome.FAILED, failure))
        finally:
            source.is_ended = True
            news.beat()

    async def _read(self, source: _Source, wish: Wish, news: Pulse) -> None:
        request = agent_pb2.ReadLogRequest()
        request.CopyFrom(wish.request)
        if source.host in wish.after:
            request.after.CopyFrom(wish.after[source.host])
        end = self._clock() + wish.host_timeout_seconds
        give_up: float | None = None
        while True:
            left = wish.host_timeout_seconds if request.follow else max(0.01, end - self._clock())
            stub = await self._sessions.wait_for_stub(source.host, left)
            call = stub.ReadLog(request, timeout=None if request.follow else left)
            try:
                while True:
                    async with answered():
                        message = await call.read()
                    if not isinstance(message, agent_pb2.ReadLogResponse):
                        return
                    give_up = None
                    if message.ByteSize() > MAX_CHUNK_BYTES:
                        raise _too_large(message.ByteSize())
                    request.after.CopyFrom(message.chunk.next)
                    await self._put(source, message.chunk, news)
            except Unavailable as error:
                now = self._clock()
                give_up = now + REPLACEMENT_SECONDS if give_up is None else give_up
                if error.code == "DEADLINE_EXCEEDED" or now >= give_up:
                    raise
            finally:
                call.cancel()
            await asyncio.sleep(RETRY_PAUSE_SECONDS * (0.5 + self._dice()))

    async def _put(self, source: _Source, chunk: types_pb2.LogChunk, news: Pulse) -> None:
        while len(source.waiting) >= HELD_CHUNKS:
            await source.has_room.wait(IDLE_SECONDS)
        source.waiting.append(controller_pb2.ReadFleetLogResponse(host=source.host, chunk=chunk))
        news.beat()


def _too_large(size: int) -> Broken:
    return Broken(
        "ANSWER_TOO_LARGE",
        f"the agent sent {size} bytes at once; the limit is {MAX_CHUNK_BYTES}",
        "look at that host: is its agent the one that you installed?",
    )


def _end(
    host: str, bucket: "controller_pb2.HostOutcome.Bucket.ValueType", error: FleetError
) -> controller_pb2.ReadFleetLogResponse:
    return controller_pb2.ReadFleetLogResponse(host=host, bucket=bucket, error=wire.error_to_proto(error))
