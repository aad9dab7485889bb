# ruff: noqa: N802 - methods are named as on the wire
"""AgentService: requests to questions for the supervisor, or answers from the copy.

Errors are raised as FleetErrors; `fleet_api.admission` makes statuses of them and decides who may call at
all; here the caller's name becomes the actor of a change.
"""

import os
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple, cast

from fleet_api import tree_wire, wire
from fleet_api.admission import Context, Door
from fleet_api.errors import BadRequest, Broken, Denied
from fleet_api.identity import Role
from fleet_api.rows import ContextRow, OperationRow, UpgradeRow
from fleet_api.selection import select
from fleet_api.v1 import agent_pb2, agent_pb2_grpc, types_pb2

from fleet_agent.gateway.admission import actor
from fleet_agent.gateway.copy import Copy
from fleet_agent.gateway.feed import Feed
from fleet_agent.gateway.link import Link
from fleet_agent.gateway.log_reading import parse_request, read_log
from fleet_agent.gateway.watch import Watching, heartbeat_seconds

CHUNK_BYTES = 1024 * 1024
MAX_ANSWER_BYTES = 3_500_000
MAX_PROCESSES_A_CHUNK = 100_000
CATCH_UP_SECONDS = 2.0
LOOK_UP_SECONDS = 5.0


class AgentFacts(NamedTuple):
    """What the agent says of itself; it does not change while this gateway lives. Time: since the epoch."""

    host_id: str
    version: str
    api_level: int
    features: tuple[str, ...]
    pid: int
    identifier: str
    start_time: float

    @classmethod
    def from_hello(cls, hello: dict[str, Any]) -> "AgentFacts":
        """The facts in the supervisor's answer to hello.

        Raises: Broken when one is missing.
        """
        try:
            return cls(
                str(hello["host_id"]),
                str(hello["version"]),
                int(hello["api_level"]),
                tuple(str(feature) for feature in hello["features"]),
                int(hello["pid"]),
                str(hello["identifier"]),
                float(hello["start_time"]),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise Broken("HELLO_MALFORMED", f"the supervisor's hello: {error!r}") from error


class AgentService(agent_pb2_grpc.AgentServiceServicer):
    """The agent as controllers and operators see it."""

    def __init__(
        self,
        facts: AgentFacts,
        door: Door,
        link: Link,
        copy: Copy,
        feed: Feed,
        watching: Watching,
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._facts = facts
        self._door = door
        self._link = link
        self._copy = copy
        self._feed = feed
        self._watching = watching
        self._monotonic = monotonic
        self._new_id = new_id

    async def GetAgent(
        self, request: agent_pb2.GetAgentRequest, context: Context
    ) -> agent_pb2.GetAgentResponse:
        """Version, features and identity."""
        facts = self._facts
        return agent_pb2.GetAgentResponse(
            host_id=wire.clean(facts.host_id),
            version=wire.clean(facts.version),
            api_level=facts.api_level,
            features=[wire.clean(feature) for feature in facts.features],
            pid=facts.pid,
            identifier=wire.clean(facts.identifier),
            start_time=wire.timestamp(facts.start_time),
            position=wire.position_to_proto(self._copy.position),
        )

    async def ListProcesses(
        self, request: agent_pb2.ListProcessesRequest, context: Context
    ) -> AsyncIterator[agent_pb2.ListProcessesResponse]:
        """The matching processes, from the copy; with their descendants, from the supervisor."""
        terms = list(request.selector.terms) or ["all"]
        if request.tree:
            async for response in self._trees(terms):
                yield response
            return
        selection = select(terms, self._copy.names())
        processes = self._copy.processes(selection.matched, self._monotonic())
        position = wire.position_to_proto(self._copy.position)
        errors = [wire.error_to_proto(error) for error in selection.unknown]
        for chunk in wire.size_bounded(processes, CHUNK_BYTES, MAX_PROCESSES_A_CHUNK):
            yield agent_pb2.ListProcessesResponse(position=position, processes=chunk, errors=errors)
            errors = []

    async def Operate(self, request: agent_pb2.OperateRequest, context: Context) -> agent_pb2.OperateResponse:
        """Forwarded; answered when the copy contains what was caused."""
        verb = wire.verb_from_proto(request.verb)
        if not verb:
            raise BadRequest("UNKNOWN_VERB", f"there is no verb {request.verb}", "compare the versions")
        if not request.selector.terms:
            raise BadRequest("EMPTY_TARGET", f"{verb} names no process", "name processes, or `all`")
        answer = await self._link.call(
            "operate",
            verb=verb,
            terms=list(request.selector.terms),
            signal=request.signal,
            wait=not request.no_wait,
            now=request.now,
            context=self._context(request.context, context),
        )
        return await self._operation(answer)

    async def GetOperation(
        self, request: agent_pb2.GetOperationRequest, context: Context
    ) -> agent_pb2.OperateResponse:
        """Forwarded: the supervisor keeps the results."""
        if not request.idempotency_key:
            raise BadRequest("KEY_MISSING", "the request names no idempotency key")
        answer = await self._link.call(
            "operation", timeout_seconds=LOOK_UP_SECONDS, key=request.idempotency_key
        )
        return await self._operation(answer)

    async def Watch(
        self, request: agent_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[agent_pb2.WatchResponse]:
        """Changes without end."""
        after = wire.position_from_proto(request.after) if request.HasField("after") else None
        async for response in self._watching.responses(after, heartbeat_seconds(request)):
            yield response

    async def ReadLog(
        self, request: agent_pb2.ReadLogRequest, context: Context
    ) -> AsyncIterator[agent_pb2.ReadLogResponse]:
        """Bytes of one log."""
        async for response in read_log(self._link, parse_request(request)):
            yield response

    async def UpgradeAgent(
        self, request: agent_pb2.UpgradeAgentRequest, context: Context
    ) -> agent_pb2.Upgrade:
        """Forwarded; the answer comes before this gateway has to leave, too."""
        stated = self._context(request.context, context)
        if not stated["key"]:
            raise BadRequest(
                "KEY_MISSING", "an upgrade needs an idempotency key, to be asked for by it later"
            )
        python = os.path.join(request.venv, "bin", "python") if request.venv else ""
        answer = await self._link.call("upgrade", python=python, context=stated)
        return self._upgrade(answer)

    async def GetUpgrade(self, request: agent_pb2.GetUpgradeRequest, context: Context) -> agent_pb2.Upgrade:
        """Forwarded: the supervisor remembers the last one."""
        if not request.idempotency_key:
            raise BadRequest("KEY_MISSING", "the request names no idempotency key")
        return self._upgrade(
            await self._link.call(
                "upgrade_result", timeout_seconds=LOOK_UP_SECONDS, key=request.idempotency_key
            )
        )

    def _upgrade(self, answer: dict[str, Any]) -> agent_pb2.Upgrade:
        try:
            return wire.upgrade_to_proto(cast(UpgradeRow, answer))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Broken("UPGRADE_MALFORMED", f"the supervisor's answer: {error!r}") from error

    async def _trees(self, terms: list[str]) -> AsyncIterator[agent_pb2.ListProcessesResponse]:
        answer = await self._link.call("tree", timeout_seconds=LOOK_UP_SECONDS, terms=terms)
        try:
            processes = [tree_wire.process_to_proto(row) for row in answer["processes"]]
            position = wire.position_to_proto(answer["position"])
            errors = [wire.error_to_proto(error) for error in answer["errors"]]
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Broken("TREE_MALFORMED", f"the supervisor's answer: {error!r}") from error
        for chunk in wire.size_bounded(processes, CHUNK_BYTES, MAX_PROCESSES_A_CHUNK):
            yield agent_pb2.ListProcessesResponse(position=position, processes=chunk, errors=errors)
            errors = []

    def _context(self, stated: types_pb2.OperationContext, context: Context) -> ContextRow:
        row = wire.context_from_proto(stated)
        peer = self._door.caller(context)
        fleet = self._door.fleet
        if fleet is not None and row["fleet_id"] not in {"", fleet}:
            raise Denied(
                "WRONG_FLEET", f"the change is meant for fleet {row['fleet_id']}; this is fleet {fleet}"
            )
        if peer is not None and peer.role is not Role.CONTROLLER and row["epoch"]:
            # One operator's number would lock the real controller out, for good.
            raise Denied(
                "EPOCH_NOT_YOURS",
                f"{peer} claims the epoch {row['epoch']}, and is no controller",
                "leave the epoch out",
            )
        row["fleet_id"] = fleet or row["fleet_id"]
        row["actor"] = actor(peer, row["actor"])
        row["operation_id"] = row["operation_id"] or self._new_id()
        return row

    async def _operation(self, answer: dict[str, Any]) -> agent_pb2.OperateResponse:
        try:
            row = cast(OperationRow, answer)
            response = wire.operation_to_proto(row)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise Broken("OPERATION_MALFORMED", f"the supervisor's answer: {error!r}") from error
        await self._feed.wait_for(row["position"], CATCH_UP_SECONDS)
        if response.ByteSize() > MAX_ANSWER_BYTES:
            # Thousands of outcomes: the rows are to be had by ListProcesses, the outcomes are not.
            for outcome in response.outcomes:
                outcome.ClearField("process")
        return response
