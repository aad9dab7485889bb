"""The operators' door: ControllerService. Translates between messages and the rooms that decide and do.

Called by gRPC behind `fleet_api.admission`, which decides who may call and makes statuses of FleetErrors;
assembled by `main`. Answers about status come from memory, each with its age; a host that
does not answer is told with its reason and never shown as running.
"""

import contextlib
from collections.abc import AsyncIterator, Callable

from fleet_api import wire
from fleet_api.admission import Context, Door
from fleet_api.errors import BadRequest
from fleet_api.v1 import agent_pb2, controller_pb2, controller_pb2_grpc, types_pb2
from fleet_api.version import VERSION

from fleet_controller.config import Config
from fleet_controller.core import targets
from fleet_controller.dispatch import Dispatch, Order
from fleet_controller.messages import to_position
from fleet_controller.relay import Relay, Wish
from fleet_controller.state import FleetState
from fleet_controller.status import StatusTeller, host_message
from fleet_controller.trees import Question, Trees

API_LEVEL = 2
FEATURES = ("status", "operate", "logs", "desires", "tree")

HOSTS_A_MESSAGE = 200
MOST_FANOUT = 10_000
MOST_SECONDS = 86_400.0


class ControllerService(controller_pb2_grpc.ControllerServiceServicer):
    """One method an RPC."""

    def __init__(
        self,
        config: Config,
        door: Door,
        state: FleetState,
        dispatch: Dispatch,
        relay: Relay,
        trees: Trees,
        epoch: int,
        make_id: Callable[[], str],
    ) -> None:
        self._config = config
        self._door = door
        self._state = state
        self._dispatch = dispatch
        self._relay = relay
        self._trees = trees
        self._epoch = epoch
        self._make_id = make_id
        self._started = state.clock()

    async def GetController(  # noqa: N802
        self, request: controller_pb2.GetControllerRequest, context: Context
    ) -> controller_pb2.GetControllerResponse:
        """Version, features and identity of this controller."""
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
        names = self._targets(request.hosts)
        for start in range(0, len(names), HOSTS_A_MESSAGE):
            hosts = [
                host_message(self._state, name, self._config.heartbeat)
                for name in names[start : start + HOSTS_A_MESSAGE]
            ]
            yield controller_pb2.ListHostsResponse(hosts=hosts)

    async def GetStatus(  # noqa: N802
        self, request: controller_pb2.GetStatusRequest, context: Context
    ) -> AsyncIterator[controller_pb2.HostStatus]:
        """Each host's status from memory: at once where it is known, and where it soon will be, then.

        Descendants are in no memory: with them, each host is asked.
        """
        names = self._targets(request.hosts)
        if request.tree:
            question = Question(names, request.selector, self._host_seconds(request))
            async with contextlib.aclosing(self._trees.read(question)) as answers:
                async for answer in answers:
                    yield answer
            return
        wanted = {message.agent_id: to_position(message) for message in request.at_least}
        teller = StatusTeller(self._state, self._config, list(request.selector.terms), wanted)
        async for name in self._state.each_when(names, teller.seconds_until_told):
            for message in teller.status(name):
                yield message

    async def OperateFleet(  # noqa: N802
        self, request: controller_pb2.OperateFleetRequest, context: Context
    ) -> AsyncIterator[controller_pb2.HostOutcome]:
        """Carry a change to every targeted host and tell each outcome as it comes."""
        order = self._order(request, self._operator(context))
        async with contextlib.aclosing(self._dispatch.operate(order)) as answers:
            async for answer in answers:
                yield answer

    async def ReadFleetLog(  # noqa: N802
        self, request: controller_pb2.ReadFleetLogRequest, context: Context
    ) -> AsyncIterator[controller_pb2.ReadFleetLogResponse]:
        """Relay one log of one process from every targeted host."""
        names = self._targets(request.hosts)
        if not request.process:
            raise BadRequest("NO_PROCESS", "no process is named", "name one: web:web_00")
        read = agent_pb2.ReadLogRequest(
            process=request.process,
            stream=request.stream,
            last_bytes=request.last_bytes,
            follow=request.follow,
        )
        wish = Wish(names, read, dict(request.after), self._config.host_timeout)
        async with contextlib.aclosing(self._relay.read(wish)) as reading:
            async for message in reading:
                yield message

    # ---------------------------------------------------------------- who asks, and for which hosts

    def _operator(self, context: Context) -> str:
        """Who is calling, as changes are written down."""
        peer = self._door.caller(context)
        return f"anonymous/{context.peer()}" if peer is None else str(peer)

    def _targets(self, selector: controller_pb2.HostSelector) -> tuple[str, ...]:
        return targets.resolve(selector.expression, selector.all_hosts, self._state.inventory)

    def _host_seconds(
        self, request: controller_pb2.OperateFleetRequest | controller_pb2.GetStatusRequest
    ) -> float:
        """How long one host may take.

        Raises: BadRequest.
        """
        if not request.HasField("host_timeout"):
            return self._config.host_timeout
        seconds = wire.seconds_of(request.host_timeout)
        if not 0 < seconds <= MOST_SECONDS:
            raise BadRequest("BAD_TIMEOUT", f"host_timeout {seconds:g} s is not in (0, {MOST_SECONDS:g}]")
        return seconds

    def _order(self, request: controller_pb2.OperateFleetRequest, operator: str) -> Order:
        """The change that was asked for, with our own fleet, epoch and name of the operator in it.

        Raises: BadRequest.
        """
        names = self._targets(request.hosts)
        if not wire.verb_from_proto(request.verb):
            raise BadRequest("BAD_VERB", f"there is no verb {request.verb}", "compare the versions")
        if not request.selector.terms:
            raise BadRequest("NO_PROCESS", "no process is named", "name some, or say all")
        if request.fanout > MOST_FANOUT:
            raise BadRequest("BAD_FANOUT", f"fanout {request.fanout} is more than {MOST_FANOUT}")
        seconds = self._host_seconds(request)
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
                now=request.now,
            ),
            fanout=request.fanout or self._config.fanout,
            host_timeout_seconds=seconds,
        )
