"""The operators' door: ControllerService. Translates between messages and the rooms that decide and do.

Called by gRPC, assembled by `main`. Answers about status come from memory, each with its age; a host that
does not answer is told with its reason and never shown as running.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn, TypeAlias

import grpc.aio
from fleet_api import identity, rows, status_codes, wire
from fleet_api.errors import BadRequest, FleetError, Unavailable
from fleet_api.identity import Role
from fleet_api.v1 import agent_pb2, controller_pb2, controller_pb2_grpc, types_pb2
from fleet_api.version import VERSION

from fleet_controller.config import Config
from fleet_controller.core import fleet, lease, outcome, selection, targets
from fleet_controller.dispatch import BUCKETS, Dispatch, Order
from fleet_controller.model import Bucket, Moment, Position, Reach
from fleet_controller.relay import Relay, Wish
from fleet_controller.sessions import REPLACEMENT_SECONDS, to_position
from fleet_controller.state import FleetState

API_LEVEL = 1
FEATURES = ("status", "operate", "logs")

AT_LEAST_SECONDS = 1.0
"""How long a read after a write waits for the controller's copy before it is marked as behind."""

HOSTS_A_MESSAGE = 200
ROWS_A_MESSAGE = 1000
BYTES_A_MESSAGE = 1024 * 1024
MOST_FANOUT = 10_000
MOST_SECONDS = 86_400.0

_REACHES = {reach: controller_pb2.Reachability.State.Value(reach.name) for reach in Reach}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class ControllerService(controller_pb2_grpc.ControllerServiceServicer):
    """One method an RPC; every one begins by asking who is calling."""

    def __init__(
        self,
        config: Config,
        state: FleetState,
        dispatch: Dispatch,
        relay: Relay,
        epoch: int,
        make_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._state = state
        self._dispatch = dispatch
        self._relay = relay
        self._epoch = epoch
        self._make_id = make_id
        self._started = state.clock()

    async def GetController(  # noqa: N802
        self, request: controller_pb2.GetControllerRequest, context: Context
    ) -> controller_pb2.GetControllerResponse:
        """Version, features and identity of this controller."""
        await self._admit(context)
        return controller_pb2.GetControllerResponse(
            version=VERSION,
            api_level=API_LEVEL,
            features=FEATURES,
            fleet_id=self._config.fleet,
            epoch=self._epoch,
            start_time=wire.timestamp(self._started.wall),
            host_count=len(self._state.inventory.hosts),
        )

    async def ListHosts(  # noqa: N802
        self, request: controller_pb2.ListHostsRequest, context: Context
    ) -> AsyncIterator[controller_pb2.ListHostsResponse]:
        """The inventory with what is known of each host, as it stands now."""
        await self._admit(context)
        names = await self._targets(request.hosts, context)
        for start in range(0, len(names), HOSTS_A_MESSAGE):
            hosts = [self._host(name) for name in names[start : start + HOSTS_A_MESSAGE]]
            yield controller_pb2.ListHostsResponse(hosts=hosts)

    async def GetStatus(  # noqa: N802
        self, request: controller_pb2.GetStatusRequest, context: Context
    ) -> AsyncIterator[controller_pb2.HostStatus]:
        """Each host's status from memory: at once where it is known, and where it soon will be, then."""
        await self._admit(context)
        names = await self._targets(request.hosts, context)
        wanted = {message.agent_id: to_position(message) for message in request.at_least}
        begun = self._state.clock()
        terms = list(request.selector.terms)
        async for name in self._state.each_when(
            names, lambda name: self._seconds_until_told(name, wanted, begun)
        ):
            for message in self._status(name, terms, wanted):
                yield message

    async def OperateFleet(  # noqa: N802
        self, request: controller_pb2.OperateFleetRequest, context: Context
    ) -> AsyncIterator[controller_pb2.HostOutcome]:
        """Carry a change to every targeted host and tell each outcome as it comes."""
        operator = await self._admit(context)
        try:
            order = self._order(request, operator)
        except FleetError as error:
            await _refuse(context, error)
        async with contextlib.aclosing(self._dispatch.operate(order)) as answers:
            async for answer in answers:
                yield answer

    async def ReadFleetLog(  # noqa: N802
        self, request: controller_pb2.ReadFleetLogRequest, context: Context
    ) -> AsyncIterator[controller_pb2.ReadFleetLogResponse]:
        """Relay one log of one process from every targeted host."""
        await self._admit(context)
        names = await self._targets(request.hosts, context)
        if not request.process:
            await _refuse(context, BadRequest("NO_PROCESS", "no process is named", "name one: web:web_00"))
        read = agent_pb2.ReadLogRequest(
            process=request.process,
            stream=request.stream,
            last_bytes=request.last_bytes,
            follow=request.follow,
        )
        wish = Wish(names, read, dict(request.after), self._config.host_timeout)
        try:
            async with contextlib.aclosing(self._relay.read(wish)) as reading:
                async for message in reading:
                    yield message
        except FleetError as error:
            await _refuse(context, error)

    # ---------------------------------------------------------------- who asks, and for which hosts

    async def _admit(self, context: Context) -> str:
        """Who is calling; ends the call of anybody but an operator of this fleet."""
        if self._config.tls is None:
            return f"anonymous/{context.peer()}"
        try:
            caller = identity.from_auth_context(
                {key: tuple(values) for key, values in context.auth_context().items()}
            )
            identity.require(caller, self._config.fleet, (Role.OPERATOR,))
        except FleetError as error:
            await _refuse(context, error)
        return str(caller)

    async def _targets(self, selector: controller_pb2.HostSelector, context: Context) -> tuple[str, ...]:
        try:
            return targets.resolve(selector.expression, selector.all_hosts, self._state.inventory)
        except FleetError as error:
            await _refuse(context, error)

    def _order(self, request: controller_pb2.OperateFleetRequest, operator: str) -> Order:
        """The change that was asked for, with our own fleet, epoch and name of the operator in it.

        Raises: BadRequest.
        """
        names = targets.resolve(request.hosts.expression, request.hosts.all_hosts, self._state.inventory)
        if not wire.verb_from_proto(request.verb):
            raise BadRequest("BAD_VERB", f"verb {request.verb} is none of start, stop, restart, signal")
        if not request.selector.terms:
            raise BadRequest("NO_PROCESS", "no process is named", "name some, or say all")
        if request.fanout > MOST_FANOUT:
            raise BadRequest("BAD_FANOUT", f"fanout {request.fanout} is more than {MOST_FANOUT}")
        seconds = self._config.host_timeout
        if request.HasField("host_timeout"):
            seconds = wire.seconds_of(request.host_timeout)
            if not 0 < seconds <= MOST_SECONDS:
                raise BadRequest("BAD_TIMEOUT", f"host_timeout {seconds:g} s is not in (0, {MOST_SECONDS:g}]")
        asked = request.context
        operation_id = asked.operation_id or self._make_id()
        return Order(
            hosts=names,
            request=agent_pb2.OperateRequest(
                context=types_pb2.OperationContext(
                    operation_id=operation_id,
                    idempotency_key=asked.idempotency_key or operation_id,
                    actor=operator,
                    reason=asked.reason,
                    fleet_id=self._config.fleet,
                    epoch=self._epoch,
                ),
                verb=request.verb,
                selector=request.selector,
                signal=request.signal,
                no_wait=request.no_wait,
            ),
            fanout=request.fanout or self._config.fanout,
            host_timeout_seconds=seconds,
        )

    # ---------------------------------------------------------------- what is known of a host

    def _seconds_until_told(self, name: str, wanted: dict[str, Position], begun: Moment) -> float:
        """How long an answer about this host may still wait for better knowledge; 0: tell it now."""
        view = self._state.view(name)
        now = self._state.clock().monotonic
        if view.link is fleet.Link.CONNECTING:
            return begun.monotonic + self._config.connect_timeout - now
        if view.link is fleet.Link.DOWN:
            # Lost a moment ago: most likely its gateway is being replaced.
            return 0.0 if view.lost_at is None else view.lost_at.monotonic + REPLACEMENT_SECONDS - now
        host = self._state.host(name)
        position = wanted.get(host.host_id) if host is not None else None
        if position is None or fleet.has_reached(view, position):
            return 0.0
        return begun.monotonic + AT_LEAST_SECONDS - now

    def _reachability(self, name: str, now: Moment) -> fleet.Reachability:
        if self._state.host(name) is None:
            gone = Unavailable("HOST_REMOVED", f"{name} has left the inventory")
            return fleet.Reachability(Reach.UNREACHABLE, gone, None, None)
        view = self._state.view(name)
        return fleet.reachability(name, view, now.monotonic, self._config.heartbeat)

    def _host(self, name: str) -> controller_pb2.Host:
        host = self._state.inventory.hosts[name]
        return controller_pb2.Host(
            name=name,
            address=host.address,
            groups=host.groups,
            labels=dict(host.labels),
            reachability=_reachability_message(self._reachability(name, self._state.clock())),
            agent_version=self._state.view(name).agent_version,
        )

    def _status(
        self, name: str, terms: list[str], wanted: dict[str, Position]
    ) -> Iterator[controller_pb2.HostStatus]:
        now = self._state.clock()
        view = self._state.view(name)
        reach = self._reachability(name, now)
        message = controller_pb2.HostStatus(
            host=name, bucket=BUCKETS[Bucket.OK], reachability=_reachability_message(reach)
        )
        if view.position is not None:
            message.position.agent_id = view.position.agent_id
            message.position.incarnation = view.position.incarnation
            message.position.sequence = view.position.sequence
        if reach.reach not in (Reach.CONNECTED, Reach.LATE):
            error = reach.error or _still_connecting(name, now.monotonic - self._started.monotonic)
            message.bucket = BUCKETS[outcome.of_error(error, is_change=False, was_sent=False)]
            message.error.CopyFrom(wire.error_to_proto(error))
            yield message
            return
        host = self._state.host(name)
        position = wanted.get(host.host_id) if host is not None else None
        message.behind = position is not None and not fleet.has_reached(view, position)
        chosen, errors = selection.select(terms, view.processes)
        message.errors.extend(wire.error_to_proto(error) for error in errors)
        size = 0
        for id_ in chosen:
            held = view.processes[id_]
            size += held.row.ByteSize()
            if message.processes and (size > BYTES_A_MESSAGE or len(message.processes) >= ROWS_A_MESSAGE):
                message.more = True
                yield message
                message = _continued(message)
                size = held.row.ByteSize()
            _add(message, held, now.monotonic)
        yield message


async def _refuse(context: Context, error: FleetError) -> NoReturn:
    await status_codes.abort(context, error)


def _still_connecting(name: str, seconds: float) -> Unavailable:
    return Unavailable(
        "NOT_ANSWERING",
        f"{name}: no answer yet, dialling since {lease.in_words(seconds)}",
        "the host may be off, stopped or cut off; its processes do not depend on that",
    )


def _continued(message: controller_pb2.HostStatus) -> controller_pb2.HostStatus:
    return controller_pb2.HostStatus(
        host=message.host,
        bucket=message.bucket,
        reachability=message.reachability,
        position=message.position,
        behind=message.behind,
    )


def _add(message: controller_pb2.HostStatus, held: fleet.Held[types_pb2.Process], now: float) -> None:
    """Add a row; what grows with time is told as of now, by the agent's clock and our waiting since."""
    row = message.processes.add()
    row.CopyFrom(held.row)
    if not row.HasField("uptime"):
        return
    uptime = wire.seconds_of(row.uptime) + max(0.0, now - held.at)
    row.uptime.seconds = int(uptime)
    row.uptime.nanos = int(uptime % 1 * wire.NANOS)
    if row.state == types_pb2.Process.RUNNING and row.pid:
        row.description = rows.running_description(row.pid, uptime)


def _reachability_message(reach: fleet.Reachability) -> controller_pb2.Reachability:
    message = controller_pb2.Reachability(state=_REACHES[reach.reach])
    if reach.error is not None:
        message.error.CopyFrom(wire.error_to_proto(reach.error))
    if reach.last_seen is not None:
        message.last_seen_time.CopyFrom(wire.timestamp(reach.last_seen.wall))
    if reach.age_seconds is not None:
        message.age.CopyFrom(wire.duration(reach.age_seconds))
    return message
