"""What one watcher is sent: a snapshot or the missed changes, then every change, with heartbeats between.

Called by `service` for each Watch call. A watcher that is too slow, or asks for a past that is gone, is
told of the gap and gets a new snapshot.
"""

from collections.abc import AsyncIterator, Callable
from typing import cast

from fleet_api import wire
from fleet_api.rows import PositionRow
from fleet_api.v1 import agent_pb2

from fleet_agent.gateway.copy import Copy
from fleet_agent.gateway.feed import Feed, Subscription
from fleet_agent.gateway.history import History
from fleet_agent.gateway.link import Link, supervisor_gone
from fleet_agent.gateway.pulse import Pulse

SNAPSHOT_PROCESSES = 500
SNAPSHOT_BYTES = 1024 * 1024
MIN_HEARTBEAT_SECONDS = 1.0
DEFAULT_HEARTBEAT_SECONDS = 2.0
MAX_HEARTBEAT_SECONDS = 60.0
FRESH_ANSWER_SECONDS = 1.0


class Watching:
    """All that Watch calls share."""

    def __init__(
        self,
        link: Link,
        copy: Copy,
        feed: Feed,
        pulse: Pulse,
        monotonic: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._link = link
        self._copy = copy
        self._feed = feed
        self._pulse = pulse
        self._monotonic = monotonic
        self._wall = wall

    async def responses(
        self, after: PositionRow | None, heartbeat_seconds: float
    ) -> AsyncIterator[agent_pb2.WatchResponse]:
        """Everything for one watcher, without end; the first heartbeat follows the opening at once."""
        with self._feed.subscribed() as subscription, self._pulse.listening():
            if after is None:
                for response in self._snapshot(subscription):
                    yield response
            else:
                async for response in self._resumed(after, subscription):
                    yield response
            async for response in self._changes(subscription, heartbeat_seconds):
                yield response

    async def _changes(
        self, subscription: Subscription, heartbeat_seconds: float
    ) -> AsyncIterator[agent_pb2.WatchResponse]:
        # After a time without watchers the last answer is old; the first beat must not tell that.
        await self._pulse.check(FRESH_ANSWER_SECONDS)
        next_beat = self._monotonic()
        while True:
            now = self._monotonic()
            if subscription.is_ended:
                raise supervisor_gone()
            if subscription.gap:
                asked = {**self._copy.position, "sequence": subscription.sent}
                for response in self._gap(cast(PositionRow, asked), subscription.gap, subscription):
                    yield response
            elif now >= next_beat:
                next_beat = now + heartbeat_seconds
                yield self._heartbeat(subscription)
            elif (message := subscription.pop()) is not None:
                yield message
            else:
                await subscription.wait(next_beat - now)

    async def _resumed(
        self, after: PositionRow, subscription: Subscription
    ) -> AsyncIterator[agent_pb2.WatchResponse]:
        until = self._copy.position
        gap, last = why_not_resumable(until, after), after["sequence"]
        events = self._copy.events_after(last) if after["incarnation"] == until["incarnation"] else None
        if not gap and events is not None:
            for event in events:
                yield agent_pb2.WatchResponse(event=event)
        elif not gap:
            # Only the supervisor knows more, or why there is no more to know.
            history = History(until, last, after["incarnation"])
            async for event in history.read(self._link):
                yield agent_pb2.WatchResponse(event=event)
            gap, last = history.gap, history.last
        if gap:
            for response in self._gap(cast(PositionRow, {**after, "sequence": last}), gap, subscription):
                yield response

    def _gap(
        self, asked: PositionRow, reason: str, subscription: Subscription
    ) -> list[agent_pb2.WatchResponse]:
        gap = agent_pb2.Gap(asked=wire.position_to_proto(asked), reason=reason)
        return [agent_pb2.WatchResponse(gap=gap), *self._snapshot(subscription)]

    def _snapshot(self, subscription: Subscription) -> list[agent_pb2.WatchResponse]:
        subscription.restart(self._copy.sequence)
        position = wire.position_to_proto(self._copy.position)
        processes = self._copy.all_processes(self._monotonic())
        chunks = list(wire.size_bounded(processes, SNAPSHOT_BYTES, SNAPSHOT_PROCESSES))
        return [
            agent_pb2.WatchResponse(
                snapshot=agent_pb2.Snapshot(position=position, processes=chunk, last=number == len(chunks))
            )
            for number, chunk in enumerate(chunks, 1)
        ]

    def _heartbeat(self, subscription: Subscription) -> agent_pb2.WatchResponse:
        position = wire.position_to_proto(self._copy.position)
        position.sequence = subscription.sent
        return agent_pb2.WatchResponse(
            heartbeat=agent_pb2.Heartbeat(
                time=wire.timestamp(self._wall()),
                supervisor_age=wire.duration(self._pulse.age),
                position=position,
                keeper_age=wire.duration(self._pulse.keeper_age),
                troubles=self._pulse.troubles,
            )
        )


def why_not_resumable(current: PositionRow, after: PositionRow) -> str:
    """Why a watch cannot go on after this position, as far as that is known here; empty when it may."""
    if after["agent_id"] and after["agent_id"] != current["agent_id"]:
        return f"the position is of agent {after['agent_id']}; this is {current['agent_id']}"
    if after["incarnation"] == current["incarnation"] and after["sequence"] > current["sequence"]:
        return f"the position is ahead of the agent, which stands at {current['sequence']}"
    return ""


def heartbeat_seconds(request: agent_pb2.WatchRequest) -> float:
    """The pause between heartbeats that a watcher gets."""
    if not request.HasField("heartbeat_interval"):
        return DEFAULT_HEARTBEAT_SECONDS
    asked = wire.seconds_of(request.heartbeat_interval)
    return min(MAX_HEARTBEAT_SECONDS, max(MIN_HEARTBEAT_SECONDS, asked))
