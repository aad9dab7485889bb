"""One host: dial its agent, watch it, and dial again when the stream ends.

Called by `sessions`; puts facts into `state` and lends its open channel to `dispatch` and `relay`. A host
that says nothing costs one task and a dial now and then, and nobody waits for it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, TypeAlias

import grpc
import grpc.aio
from fleet_api import channel, identity, status_codes, wire
from fleet_api.credentials import Credentials
from fleet_api.errors import Broken, FleetError, Unavailable
from fleet_api.identity import Role
from fleet_api.probe import probe
from fleet_api.unreachable import SILENT_HINT
from fleet_api.v1 import agent_pb2, agent_pb2_grpc

from fleet_controller.config import Config
from fleet_controller.core import backoff, fleet, lease
from fleet_controller.core.burden import TELLS_TOO_MUCH, Burden, check_row
from fleet_controller.log import Log
from fleet_controller.messages import to_fact
from fleet_controller.model import Host
from fleet_controller.state import FleetState, ProcessFact, Pulse

Stub: TypeAlias = "agent_pb2_grpc.AgentServiceAsyncStub"

CLOSE_GRACE_SECONDS = 30.0
"""How long calls on a channel may go on after its watch stream ended in good order."""

REPLACEMENT_SECONDS = 2.0
"""How long a gateway or supervisor may take to be replaced: requests wait that long for a host just lost."""
RETRY_PAUSE_SECONDS = 0.1
"""The first pause before such a host is asked again."""
REDIAL_SECONDS = 0.25
"""The longest pause between dials of a host just lost."""

UNEXPLAINED = frozenset({"AGENT_UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "UNEXPECTED_ERROR"})
"""Codes that gRPC gives for anything between a wrong name and a dead host; a probe tells them apart."""


@contextlib.asynccontextmanager
async def answered() -> AsyncIterator[None]:
    """Turn what a call on an agent's channel may raise into a FleetError.

    Subtle: a channel closed by its session cancels the calls on it, which looks like our own task being
    cancelled; only the task itself knows better.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise status_codes.from_rpc_error(error) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise Unavailable("CANCELLED", "the connection to the agent was given up") from error


class Shared(NamedTuple):
    """What all sessions have in common.

    Dialling and probing are bounded apart: probes of hosts that swallow packets must not keep healthy
    hosts from being dialled. `dice` gives random numbers in [0, 1).
    """

    state: FleetState
    credentials: Credentials | None
    config: Config
    dice: Callable[[], float]
    log: Log
    connecting: asyncio.Semaphore
    probing: asyncio.Semaphore


class Session:
    """The connection to one host; `run` lasts until it is cancelled."""

    def __init__(self, host: Host, shared: Shared, tasks: asyncio.TaskGroup) -> None:
        self.host = host
        self._state, self._credentials, self._config, self._dice, self._log, *limits = shared
        self._connecting, self._probing = limits
        self._tasks = tasks
        self._server_name = identity.make(self._config.fleet, Role.AGENT, host.host_id).dns_name
        self._failures = 0
        self._awake = asyncio.Event()
        self._pulse = Pulse()
        self._begun = 0  # attempts
        self._ended = 0
        self._told = ""
        self._patience = 0.0  # until then it counts as lost just now
        self.stub: Stub | None = None
        self.error: FleetError | None = None

    async def run(self) -> None:
        """Keep the host connected."""
        loop = asyncio.get_running_loop()
        flaps = 0
        while True:
            began = loop.time()
            try:
                await self._attempt()
            except Exception as error:  # a bug of ours may cost one host, never the fleet
                self._log.error("session failed", host=self.host.name, error=repr(error))
                self._lose(Broken("SESSION_FAILED", f"the controller failed on {self.host.name}: {error!r}"))
            # A stream that was good for a while is dialled anew at once; others wait, longer each time.
            flaps = 0 if not self._failures and loop.time() - began > self._config.heartbeat else flaps + 1
            if flaps:
                hosts = len(self._state.inventory.hosts)
                seconds = backoff.pause(max(self._failures, flaps), hosts, self._dice())
                await self._rest(min(seconds, REDIAL_SECONDS) if loop.time() < self._patience else seconds)

    async def wait_for_stub(self, seconds: float) -> Stub:
        """The open connection; a host that is down is dialled at once, and its next failure is told.

        Raises: Unavailable (or what the agent said) with the true reason.
        """
        if self.stub is not None:
            return self.stub
        # An attempt under way will tell; else the next one. A host lost a moment ago gets more of them.
        wanted = self._begun + 1 if self._begun == self._ended else self._begun
        self._awake.set()
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while self.stub is None and loop.time() < until:
            if self._ended >= wanted and loop.time() >= self._patience:
                break
            await self._pulse.wait(until - loop.time())
        if self.stub is not None:
            return self.stub
        if self.error is not None:
            # A new one each time: an exception raised again and again drags its whole history along.
            raise type(self.error)(self.error.code, self.error.message, self.error.hint)
        raise Unavailable(
            "NOT_ANSWERING",
            f"{self.host.name} ({self.host.address}) has not answered within {seconds:g} s",
            SILENT_HINT,
        )

    async def _attempt(self) -> None:
        """One connection, from dialling to its end; what came of it stands in the state."""
        self._begun += 1
        opened = channel.open_channel(self.host.address, self._credentials, self._server_name)
        stub = agent_pb2_grpc.AgentServiceStub(opened)
        is_in_good_order = False
        try:
            async with self._connecting:
                self._state.apply(self.host.name, await self._greet(stub))
            await self._watch(stub)
            is_in_good_order = self.stub is not None
            raise Unavailable("STREAM_ENDED", f"{self.host.name} ended its stream", "it is dialled again")
        except FleetError as error:
            await self._fail(error)
        finally:
            if self.stub is not None:
                self._patience = asyncio.get_running_loop().time() + REPLACEMENT_SECONDS
            self.stub = None
            self._ended += 1
            self._pulse.beat()
            if is_in_good_order:
                self._tasks.create_task(opened.close(CLOSE_GRACE_SECONDS))
            else:
                await opened.close(None)

    async def _greet(self, stub: Stub) -> ProcessFact:
        seconds = self._config.connect_timeout
        async with answered():
            agent = await stub.GetAgent(agent_pb2.GetAgentRequest(), timeout=seconds)
        if agent.host_id and agent.host_id != self.host.host_id:
            raise Unavailable(
                "WRONG_NAME",
                f"{self.host.address} is agent {agent.host_id[:80]!r},"
                f" the inventory says {self.host.host_id!r}",
                "correct address or host_id in the inventory",
            )
        return fleet.Opened(agent.version[:64])

    async def _watch(self, stub: Stub) -> None:
        """Follow the host until the agent ends its stream in good order."""
        silence = lease.lost_after(self._config.heartbeat)
        while True:
            call = stub.Watch(self._request())
            try:
                resync = await self._follow(call, stub, max(silence, self._config.connect_timeout), silence)
            finally:
                call.cancel()
            if not resync:
                return
            self._log.warning("host is read anew", host=self.host.name, reason=resync)
            # An agent that never gets its numbers right must not keep us busy.
            await self._rest(self._dice() * backoff.FIRST_SECONDS * 5)

    async def _follow(
        self,
        call: "grpc.aio.UnaryStreamCall[agent_pb2.WatchRequest, agent_pb2.WatchResponse]",
        stub: Stub,
        first_seconds: float,
        silence_seconds: float,
    ) -> str:
        """Take in one stream; returns why it must begin anew, or nothing when the agent ended it."""
        seconds = first_seconds
        held = self._state.view(self.host.name).processes
        burden = Burden()
        burden.snapshot_part([one.row.ByteSize() for one in held.values()], is_last=True)
        while True:
            try:
                async with asyncio.timeout(seconds), answered():
                    message = await call.read()
            except TimeoutError as error:
                raise Unavailable(
                    "NOT_ANSWERING",
                    f"{self.host.name} ({self.host.address}) said nothing for {seconds:g} s",
                    SILENT_HINT,
                ) from error
            if not isinstance(message, agent_pb2.WatchResponse):
                return ""
            seconds = silence_seconds
            self._weigh(message, burden)
            fact = to_fact(message)
            resync = self._state.apply(self.host.name, fact) if fact is not None else ""
            if isinstance(fact, fleet.Missed):
                self._log.warning("changes were missed", host=self.host.name, reason=fact.reason)
            if resync:
                return resync
            if self.stub is None and self._state.view(self.host.name).link is fleet.Link.UP:
                self._succeed(stub)

    def _weigh(self, message: agent_pb2.WatchResponse, burden: Burden) -> None:
        """Raises: Broken HOST_TELLS_TOO_MUCH."""
        match message.WhichOneof("body"):
            case "snapshot":
                check_row(message.snapshot.position.ByteSize())
                sizes = [row.ByteSize() for row in message.snapshot.processes]
                burden.snapshot_part(sizes, message.snapshot.last)
            case "event":
                event = message.event
                id_ = (event.process.group, event.process.name)
                before = self._state.view(self.host.name).processes.get(id_)
                burden.change(
                    None if before is None else before.row.ByteSize(),
                    None if event.removed else message.ByteSize(),
                )
            case _:
                check_row(message.ByteSize())

    def _request(self) -> agent_pb2.WatchRequest:
        request = agent_pb2.WatchRequest(heartbeat_interval=wire.duration(self._config.heartbeat))
        position = self._state.view(self.host.name).position
        if position is not None:
            request.after.agent_id = position.agent_id
            request.after.incarnation = position.incarnation
            request.after.sequence = position.sequence
        return request

    def _succeed(self, stub: Stub) -> None:
        self.stub, self.error, self._failures = stub, None, 0
        self._pulse.beat()
        if self._told != "up":
            self._told = "up"
            view = self._state.view(self.host.name)
            self._log.info(
                "host connected",
                host=self.host.name,
                address=self.host.address,
                version=view.agent_version,
                processes=len(view.processes),
            )

    async def _fail(self, error: FleetError) -> None:
        if error.code == TELLS_TOO_MUCH:
            self.stub = None
        if self.stub is not None:
            # A stream that was good has ended: the next dial, at once, tells whether the host is lost.
            self.error = error
            return
        if error.code in UNEXPLAINED:
            error = await self._explain(error)
        self._lose(error)

    async def _explain(self, error: FleetError) -> FleetError:
        if error.code == "DEADLINE_EXCEEDED":
            # Told now, since the probe of a host that says nothing lasts as long again.
            error = Unavailable(
                "NOT_ANSWERING",
                f"{self.host.name} ({self.host.address}) did not answer"
                f" within {self._config.connect_timeout:g} s",
                SILENT_HINT,
            )
            self._lose(error)
        async with self._probing:
            reason = await probe(
                self.host.address, self._credentials, self._server_name, self._config.connect_timeout
            )
        return reason or error

    def _lose(self, error: FleetError) -> None:
        self._failures += 1
        self.error = error
        self._state.apply(self.host.name, fleet.Lost(error, drops=error.code == TELLS_TOO_MUCH))
        if self._told != error.code:
            self._told = error.code
            self._log.warning("host lost", host=self.host.name, code=error.code, reason=error.message)

    async def _rest(self, seconds: float) -> None:
        self._awake.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._awake.wait()
