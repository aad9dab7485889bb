"""Carries one change to many agents: bounded concurrency, a deadline a host, lost answers settled by key.

Called by `service`. A host that was begun is carried to its end even when the operator has gone: what
was sent has happened, and the log tells how it ended.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fleet_api import wire
from fleet_api.errors import Broken, FleetError, NotFound, Unavailable
from fleet_api.v1 import agent_pb2, controller_pb2, types_pb2

from fleet_controller.core import fanout, outcome
from fleet_controller.log import Log
from fleet_controller.messages import BUCKETS
from fleet_controller.model import Bucket
from fleet_controller.session import REPLACEMENT_SECONDS, RETRY_PAUSE_SECONDS, Stub, answered
from fleet_controller.sessions import Sessions

RETRY_PAUSE_MOST_SECONDS = 1.0
MAX_ANSWER_BYTES = 3_900_000
"""Agents keep below it; one too large to be passed on would end the operator's whole answer."""
SETTLE_SHARE = 0.2
SETTLE_MOST_SECONDS = 1.0
"""The end of a host's time that is kept for asking what became of a request without an answer."""

_RESULTS = {number: name.lower() for name, number in types_pb2.ProcessOutcome.Result.items()}


_News: TypeAlias = "asyncio.Queue[str | controller_pb2.HostOutcome]"
"""The name of a host that was reached and waits for its turn, or how a host ended."""


@dataclass(frozen=True, slots=True)
class Order:
    """One change for many hosts; `request` is what each agent gets. Units: hosts, seconds."""

    hosts: Sequence[str]
    request: agent_pb2.OperateRequest
    fanout: int
    host_timeout_seconds: float


class Dispatch:
    """All operations under way; `run` owns their tasks."""

    def __init__(
        self, sessions: Sessions, clock: Callable[[], float], dice: Callable[[], float], log: Log
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._dice = dice
        self._log = log
        self._tasks: asyncio.TaskGroup | None = None
        self._is_leaving = asyncio.Event()

    async def run(self, is_ready: asyncio.Event) -> None:
        """Hold the tasks of operations until `leave`, and then until the last of them has ended."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            is_ready.set()
            await self._is_leaving.wait()

    def leave(self) -> None:
        """Take no new hosts; `run` ends with the last one under way."""
        self._is_leaving.set()

    async def operate(self, order: Order) -> AsyncGenerator[controller_pb2.HostOutcome, None]:
        """Yield each host's outcome as it comes; leaving early begins no further host."""
        assert self._tasks is not None, "run() comes first"
        self._log.info("operation asked", **_words(order), hosts=len(order.hosts))
        news: _News = asyncio.Queue()
        turns = {host: asyncio.Event() for host in order.hosts}
        tasks = {
            host: self._tasks.create_task(self._carry(host, order, turn, news), name=f"operate {host}")
            for host, turn in turns.items()
        }
        progress = fanout.begin(order.hosts, order.fanout)
        try:
            while not progress.is_done:
                told = await news.get()
                if isinstance(told, str):
                    progress = fanout.reach(progress, told)
                else:
                    progress = fanout.finish(progress, told.host)
                going, progress = fanout.advance(progress)
                for host in going:
                    turns[host].set()
                if not isinstance(told, str):
                    yield told
        finally:
            for host, turn in turns.items():
                if not turn.is_set():
                    tasks[host].cancel()

    async def _carry(self, host: str, order: Order, turn: asyncio.Event, news: "_News") -> None:
        """Reach the host, wait for its turn, carry the change: a host that is away keeps no other waiting."""
        attempt = _Attempt(host, order, self._sessions, self._clock, self._dice)
        answer = controller_pb2.HostOutcome(
            host=host, bucket=BUCKETS[Bucket.UNKNOWN], operation_id=order.request.context.operation_id
        )
        try:
            await attempt.reach()
            news.put_nowait(host)
            await turn.wait()
            _fill(answer, await attempt.run())
        except FleetError as error:
            bucket = outcome.of_error(error, is_change=True, was_sent=attempt.was_sent)
            answer.bucket = BUCKETS[bucket]
            answer.error.CopyFrom(wire.error_to_proto(error))
        except Exception as error:  # a bug of ours costs one host its outcome, not the operator the others
            self._log.error("operation failed", host=host, error=repr(error))
            answer.error.CopyFrom(
                wire.error_to_proto(Broken("DISPATCH_FAILED", f"the controller failed on {host}: {error!r}"))
            )
        answer.duration.CopyFrom(wire.duration(attempt.seconds))
        news.put_nowait(answer)
        self._note(order, answer)

    def _note(self, order: Order, answer: controller_pb2.HostOutcome) -> None:
        note = self._log.info if answer.bucket == BUCKETS[Bucket.OK] else self._log.warning
        note(
            "operation ended on host",
            host=answer.host,
            **_words(order),
            outcome=controller_pb2.HostOutcome.Bucket.Name(answer.bucket).lower(),
            **({"code": answer.error.code} if answer.error.code else {}),
        )


class _Attempt:
    """One host of one operation, with its tries and the question what became of a lost answer."""

    def __init__(
        self,
        host: str,
        order: Order,
        sessions: Sessions,
        clock: Callable[[], float],
        dice: Callable[[], float],
    ) -> None:
        self._host = host
        self._request = order.request
        self._sessions = sessions
        self._clock = clock
        self._dice = dice
        self._host_seconds = order.host_timeout_seconds
        self._begun = clock()
        self._reach_seconds = 0.0
        self._settle_seconds = min(SETTLE_MOST_SECONDS, SETTLE_SHARE * order.host_timeout_seconds)
        self._retry_until: float | None = None
        self.was_sent = False

    @property
    def seconds(self) -> float:
        """The host's own time so far: to reach it and to carry the change, not the wait between the two."""
        return self._clock() - self._begun

    async def reach(self) -> None:
        """Wait until the host is connected. Raises: FleetError with the reason why it is not."""
        await self._sessions.wait_for_stub(self._host, self._left())
        self._reach_seconds = self.seconds

    async def run(self) -> agent_pb2.OperateResponse:
        """The agent's answer.

        Raises: FleetError; `was_sent` tells whether the change may have happened all the same.
        """
        self._begun = self._clock() - self._reach_seconds
        pause = RETRY_PAUSE_SECONDS
        while True:
            try:
                stub = await self._sessions.wait_for_stub(self._host, self._left())
                if self.was_sent:
                    known = await self._ask(stub)
                    if known is not None:
                        return known
                    if not self._may_repeat():
                        raise self._unanswered("it has no record of it")
                self.was_sent = True
                return await self._send(stub)
            except Unavailable as error:
                if not self.was_sent or error.code == "ANSWER_LOST":
                    raise  # the host was dialled just now: this is its reason; or no answer is to come
                if error.code == "DEADLINE_EXCEEDED":
                    return await self._settle()
                if self._retry_until is None:
                    self._retry_until = self._clock() + REPLACEMENT_SECONDS
                if self._left() <= pause:
                    raise self._unanswered(error.message) from error
            await asyncio.sleep(pause * (0.5 + self._dice()))
            pause = min(2 * pause, RETRY_PAUSE_MOST_SECONDS)

    async def _send(self, stub: Stub) -> agent_pb2.OperateResponse:
        seconds = max(0.01, self._left() - self._settle_seconds)
        async with answered():
            return await stub.Operate(self._request, timeout=seconds)

    async def _ask(self, stub: Stub) -> agent_pb2.OperateResponse | None:
        """What the agent knows of our key; None when it knows nothing."""
        request = agent_pb2.GetOperationRequest(idempotency_key=self._request.context.idempotency_key)
        try:
            async with answered():
                return await stub.GetOperation(request, timeout=max(0.01, self._left()))
        except NotFound:
            return None
        except Unavailable:
            raise
        except FleetError as error:
            # Why it does not tell says nothing about what became of the change.
            raise self._unanswered(error.message) from error

    async def _settle(self) -> agent_pb2.OperateResponse:
        """Use what is left of the time to ask for an answer that did not come."""
        try:
            stub = await self._sessions.wait_for_stub(self._host, self._left())
            known = await self._ask(stub)
        except Unavailable as error:
            raise self._unanswered("no answer within the time allowed") from error
        if known is None:
            raise self._unanswered("no answer within the time allowed")
        return known

    def _may_repeat(self) -> bool:
        """Whether the same request may be sent again; its key keeps it from happening twice."""
        return self._retry_until is None or self._clock() < self._retry_until

    def _unanswered(self, why: str) -> Unavailable:
        return Unavailable(
            "ANSWER_LOST",
            f"{self._host} was sent the request and has not told how it ended: {why}",
            "look at its status: it may have been done",
        )

    def _left(self) -> float:
        return max(0.0, self._host_seconds - self.seconds)


def _fill(answer: controller_pb2.HostOutcome, response: agent_pb2.OperateResponse) -> None:
    size = response.ByteSize()
    if size > MAX_ANSWER_BYTES:
        raise Broken(
            "ANSWER_TOO_LARGE",
            f"the agent answered with {size} bytes; the limit is {MAX_ANSWER_BYTES}",
            "look at the status of that host: the change may have been made",
        )
    results = [_RESULTS.get(one.result, "failed") for one in response.outcomes]
    answer.bucket = BUCKETS[outcome.of_results(results, len(response.errors))]
    answer.outcomes.extend(response.outcomes)
    answer.errors.extend(response.errors)
    if response.HasField("position"):
        answer.position.CopyFrom(response.position)
    if response.operation_id:
        answer.operation_id = response.operation_id


def _words(order: Order) -> dict[str, object]:
    """Who asks for what, as the log tells it."""
    context = order.request.context
    return {
        "operation": context.operation_id,
        "actor": context.actor,
        "verb": agent_pb2.OperateRequest.Verb.Name(order.request.verb).lower(),
        "programs": " ".join(order.request.selector.terms),
    }
