"""An agent that speaks real gRPC with real mTLS and supervises nothing; scripted, and rude when asked.

`async with FakeAgent("web1", files) as agent:` listens at `agent.address`. Its fields are the script.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
from fakes.certificates import Files
from fleet_api import channel, rows, status_codes, tls, wire
from fleet_api.credentials import Credentials
from fleet_api.errors import Conflict, FleetError, NotFound
from fleet_api.v1 import agent_pb2, agent_pb2_grpc, types_pb2

Context = Any
Operate = Callable[[agent_pb2.OperateRequest], Awaitable[agent_pb2.OperateResponse]]

BEAT_SECONDS = 0.05
EVENTS_KEPT = 1000


class FakeAgent(agent_pb2_grpc.AgentServiceServicer):
    """One agent. Set a field at any time; it counts from the next message on."""

    def __init__(self, host_id: str, files: Files | None, *, count: int = 2, port: int = 0) -> None:
        self.host_id = host_id
        self.files = files
        self.port = port
        self.incarnation = "first"
        self.sequence = 0
        self.processes: dict[tuple[str, str], types_pb2.Process] = {}
        self.events: list[types_pb2.ProcessEvent] = []
        self.version = "0.0-fake"
        # The script.
        self.is_beating = True
        self.supervisor_age = 0.0
        self.ends_streams = False  # each watch ends after its snapshot
        self.thawed = asyncio.Event()  # cleared: as after SIGSTOP, the kernel accepts and nobody answers
        self.thawed.set()
        self.refusal: FleetError | None = None  # what every call is answered with
        self.watch_refusal: FleetError | None = None
        self.operate_seconds = 0.0
        self.operate: Operate | None = None
        self.loses_answer = False  # carries the operation out, then drops every connection
        self.log = b""
        self.log_breaks_at: int | None = None
        self.chunk_bytes = 1000
        self.snapshot_rows = 1000
        # What was seen.
        self.operations: list[agent_pb2.OperateRequest] = []
        self.watches: list[agent_pb2.WatchRequest] = []
        self.results: dict[str, agent_pb2.OperateResponse] = {}
        self.carried_out = 0
        self.log_readers = 0
        self.log_sent = 0  # bytes
        self._news = asyncio.Event()
        self._server: grpc.aio.Server | None = None
        for index in range(count):
            self.put("web", f"web_{index:02}", types_pb2.Process.RUNNING, pid=1000 + index)
        self.events.clear()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def position(self) -> types_pb2.Position:
        return types_pb2.Position(agent_id=self.host_id, incarnation=self.incarnation, sequence=self.sequence)

    # ---------------------------------------------------------------- its life

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; a second start takes the port of the first."""
        server = grpc.aio.server(options=channel.server_options())
        agent_pb2_grpc.add_AgentServiceServicer_to_server(self, server)
        where = f"127.0.0.1:{self.port}"
        if self.files is None:
            self.port = server.add_insecure_port(where)
        else:
            self.port = server.add_secure_port(where, channel.server_credentials(_unchecked(self.files)))
        await server.start()
        self._server = server

    async def stop(self) -> None:
        """Die: every connection is dropped at once."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(None)

    # ---------------------------------------------------------------- what happens on the host

    def put(
        self,
        group: str,
        name: str,
        state: types_pb2.Process.State.ValueType,
        *,
        pid: int = 0,
        uptime: float | None = None,
        skip: int = 0,
    ) -> None:
        """A process changes; `skip` numbers are left out, which an agent never does."""
        uptime = (60.0 if pid else None) if uptime is None else uptime
        old = self.processes.get((group, name))
        process = types_pb2.Process(
            name=name,
            group=group,
            state=state,
            pid=pid,
            description=rows.running_description(pid, uptime or 0) if pid else "",
        )
        if uptime is not None:
            process.uptime.CopyFrom(wire.duration(uptime))
        self.processes[group, name] = process
        self._happen(process, old, removed=False, skip=skip)

    def remove(self, group: str, name: str) -> None:
        """A process leaves the configuration."""
        old = self.processes.pop((group, name))
        self._happen(old, old, removed=True, skip=0)

    def restart_numbering(self, incarnation: str) -> None:
        """The host was rebooted, or the journal lost."""
        self.incarnation, self.sequence = incarnation, 1
        self.events.clear()
        self._wake()

    def _happen(
        self, process: types_pb2.Process, old: types_pb2.Process | None, *, removed: bool, skip: int
    ) -> None:
        self.sequence += 1 + skip
        event = types_pb2.ProcessEvent(
            sequence=self.sequence,
            old_state=old.state if old is not None else types_pb2.Process.STATE_UNSPECIFIED,
            process=process,
            removed=removed,
        )
        self.events = [*self.events[-EVENTS_KEPT:], event]
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # ---------------------------------------------------------------- what it answers

    async def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Context) -> Any:  # noqa: N802
        await self._manners(context)
        return agent_pb2.GetAgentResponse(
            host_id=self.host_id, version=self.version, api_level=1, position=self.position
        )

    async def ListProcesses(  # noqa: N802
        self, request: agent_pb2.ListProcessesRequest, context: Context
    ) -> AsyncIterator[agent_pb2.ListProcessesResponse]:
        await self._manners(context)
        if not request.tree:
            yield agent_pb2.ListProcessesResponse(position=self.position, processes=self.processes.values())
            return
        for process in self.processes.values():
            answer = agent_pb2.ListProcessesResponse(position=self.position, processes=[process])
            answer.processes[0].tree.add(pid=process.pid, command="fake")
            answer.processes[0].tree_size = 1
            yield answer

    async def Watch(  # noqa: N802
        self, request: agent_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[agent_pb2.WatchResponse]:
        await self._manners(context)
        if self.watch_refusal is not None:
            await status_codes.abort(context, self.watch_refusal)
        self.watches.append(request)
        told = self.sequence
        kept = [event.sequence for event in self.events]
        after = request.after
        can_resume = after.incarnation == self.incarnation and (
            after.sequence == self.sequence or after.sequence + 1 in kept
        )
        if request.HasField("after") and can_resume:
            told = after.sequence
        else:
            if request.HasField("after"):
                yield agent_pb2.WatchResponse(gap=agent_pb2.Gap(asked=after, reason="not kept"))
            for part in self._snapshot():
                yield part
        incarnation = self.incarnation
        while not self.ends_streams:
            await self.thawed.wait()
            news = self._news
            for event in [event for event in self.events if event.sequence > told]:
                told = event.sequence
                yield agent_pb2.WatchResponse(event=event)
            if incarnation != self.incarnation:
                incarnation, told = self.incarnation, self.sequence
            if self.is_beating:
                yield agent_pb2.WatchResponse(
                    heartbeat=agent_pb2.Heartbeat(
                        supervisor_age=wire.duration(self.supervisor_age), position=self.position
                    )
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BEAT_SECONDS):
                    await news.wait()

    def _snapshot(self) -> list[agent_pb2.WatchResponse]:
        processes = list(self.processes.values())
        size = self.snapshot_rows
        cuts = [processes[start : start + size] for start in range(0, len(processes), size)] or [[]]
        return [
            agent_pb2.WatchResponse(
                snapshot=agent_pb2.Snapshot(position=self.position, processes=cut, last=number == len(cuts))
            )
            for number, cut in enumerate(cuts, 1)
        ]

    async def Operate(self, request: agent_pb2.OperateRequest, context: Context) -> Any:  # noqa: N802
        await self._manners(context)
        self.operations.append(request)
        known = self.results.get(request.context.idempotency_key)
        if known is not None:
            return agent_pb2.OperateResponse(
                operation_id=known.operation_id,
                outcomes=known.outcomes,
                position=known.position,
                replayed=True,
            )
        if self.operate_seconds:
            await asyncio.sleep(self.operate_seconds)
        if self.operate is not None:
            return await self.operate(request)
        response = self.carry_out(request)
        if self.loses_answer:
            self.loses_answer = False
            await self.stop()
            await asyncio.sleep(60)
        return response

    def carry_out(self, request: agent_pb2.OperateRequest) -> agent_pb2.OperateResponse:
        """Do what was asked, to every process, and keep the result under its key."""
        self.carried_out += 1
        stopping = request.verb == agent_pb2.OperateRequest.STOP
        state = types_pb2.Process.STOPPED if stopping else types_pb2.Process.RUNNING
        outcomes = []
        for group, name in list(self.processes):
            self.put(group, name, state, pid=0 if stopping else 2000, uptime=None if stopping else 0.0)
            outcomes.append(
                types_pb2.ProcessOutcome(
                    name=name,
                    group=group,
                    result=types_pb2.ProcessOutcome.OK,
                    process=self.processes[group, name],
                )
            )
        response = agent_pb2.OperateResponse(
            operation_id=request.context.operation_id, outcomes=outcomes, position=self.position
        )
        self.results[request.context.idempotency_key] = response
        return response

    async def GetOperation(self, request: agent_pb2.GetOperationRequest, context: Context) -> Any:  # noqa: N802
        await self._manners(context)
        known = self.results.get(request.idempotency_key)
        if known is None:
            await status_codes.abort(context, NotFound("OPERATION_NOT_FOUND", "no such operation"))
        return known

    async def UpgradeAgent(self, request: agent_pb2.UpgradeAgentRequest, context: Context) -> Any:  # noqa: N802
        await status_codes.abort(context, Conflict("UPGRADE_REFUSED", "a fake is never upgraded"))

    async def GetUpgrade(self, request: agent_pb2.GetUpgradeRequest, context: Context) -> Any:  # noqa: N802
        await status_codes.abort(context, NotFound("UPGRADE_NOT_FOUND", "a fake is never upgraded"))

    async def ReadLog(  # noqa: N802
        self, request: agent_pb2.ReadLogRequest, context: Context
    ) -> AsyncIterator[agent_pb2.ReadLogResponse]:
        await self._manners(context)
        if not any(request.process in (name, f"{group}:{name}") for group, name in self.processes):
            await status_codes.abort(
                context, NotFound("NO_SUCH_PROCESS", f"{request.process}: no such process")
            )
        at = request.after.offset if request.HasField("after") else 0
        if not request.HasField("after") and request.last_bytes:
            at = max(0, len(self.log) - request.last_bytes)
        self.log_readers += 1
        try:
            while True:
                while at < len(self.log):
                    if self.log_breaks_at is not None and at >= self.log_breaks_at:
                        self.log_breaks_at = None
                        await context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")
                    data = self.log[at : at + self.chunk_bytes]
                    yield agent_pb2.ReadLogResponse(chunk=wire.log_chunk("log", at, data))
                    at += len(data)
                    self.log_sent += len(data)
                if not request.follow:
                    return
                await asyncio.sleep(0.01)
        finally:
            self.log_readers -= 1

    async def _manners(self, context: Context) -> None:
        await self.thawed.wait()
        if self.refusal is not None:
            await status_codes.abort(context, self.refusal)


def _unchecked(files: Files) -> Credentials:
    """Credentials with any dates: an agent whose certificate has expired goes on showing it."""
    certificate, key, ca = (Path(path).read_bytes() for path in (files.certificate, files.key, files.ca))
    return tls.from_pem(certificate, key, ca)
