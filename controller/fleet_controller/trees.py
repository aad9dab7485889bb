"""The descendants of processes on many hosts: asked of each agent now, since no copy holds them.

Called by `service`. A read: a host that does not answer is told with its reason, and keeps no other waiting.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass

from fleet_api import wire
from fleet_api.errors import Broken, FleetError
from fleet_api.v1 import agent_pb2, controller_pb2, types_pb2

from fleet_controller.core import outcome
from fleet_controller.log import Log
from fleet_controller.messages import BUCKETS
from fleet_controller.model import Bucket
from fleet_controller.session import answered
from fleet_controller.sessions import Sessions

MAX_BYTES = 64 * 1024 * 1024
"""Of one host's answer; an agent that sends more is not one of ours."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whose descendants, on which hosts, and how long each host may take."""

    hosts: Sequence[str]
    selector: types_pb2.ProcessSelector
    host_timeout_seconds: float


class Trees:
    """Asks agents for trees."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float], log: Log) -> None:
        self._sessions = sessions
        self._clock = clock
        self._log = log

    async def read(self, question: Question) -> AsyncGenerator[controller_pb2.HostStatus, None]:
        """Yield each host's answer as it comes, in one message or more."""
        tasks = [
            asyncio.create_task(self._host(host, question), name=f"tree {host}") for host in question.hosts
        ]
        try:
            for answer in asyncio.as_completed(tasks):
                for message in await answer:
                    yield message
        finally:
            for task in tasks:
                task.cancel()

    async def _host(self, host: str, question: Question) -> list[controller_pb2.HostStatus]:
        try:
            return await self._ask(host, question)
        except FleetError as error:
            bucket = outcome.of_error(error, is_change=False, was_sent=True)
            failure = error
        except Exception as error:  # a bug of ours costs one host its answer, not the operator the others
            self._log.error("reading trees failed", host=host, error=repr(error))
            bucket = Bucket.FAILED
            failure = Broken("TREE_FAILED", f"the controller failed on {host}: {error!r}")
        return [
            controller_pb2.HostStatus(host=host, bucket=BUCKETS[bucket], error=wire.error_to_proto(failure))
        ]

    async def _ask(self, host: str, question: Question) -> list[controller_pb2.HostStatus]:
        end = self._clock() + question.host_timeout_seconds
        stub = await self._sessions.wait_for_stub(host, question.host_timeout_seconds)
        request = agent_pb2.ListProcessesRequest(selector=question.selector, tree=True)
        call = stub.ListProcesses(request, timeout=max(0.01, end - self._clock()))
        messages: list[controller_pb2.HostStatus] = []
        size = 0
        try:
            while True:
                async with answered():
                    reply = await call.read()
                if not isinstance(reply, agent_pb2.ListProcessesResponse):
                    break
                size += reply.ByteSize()
                if size > MAX_BYTES:
                    raise Broken(
                        "ANSWER_TOO_LARGE",
                        f"the agent sent more than {MAX_BYTES} bytes",
                        "name fewer programs",
                    )
                messages.append(_part(host, reply))
        finally:
            call.cancel()
        messages = messages or [_part(host, agent_pb2.ListProcessesResponse())]
        messages[-1].more = False
        return messages


def _part(host: str, reply: agent_pb2.ListProcessesResponse) -> controller_pb2.HostStatus:
    message = controller_pb2.HostStatus(
        host=host, bucket=BUCKETS[Bucket.OK], processes=reply.processes, errors=reply.errors, more=True
    )
    message.reachability.state = controller_pb2.Reachability.CONNECTED
    message.reachability.age.SetInParent()
    if reply.HasField("position"):
        message.position.CopyFrom(reply.position)
    return message
