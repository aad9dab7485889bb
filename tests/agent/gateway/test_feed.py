"""The feed on a real link: waiting for positions; and what waits for one watcher."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

import pytest
from fakes.supervisor import FakeSupervisor, make_row
from fleet_agent.gateway.copy import Copy
from fleet_agent.gateway.feed import Feed, Subscription
from fleet_agent.gateway.link import Link
from fleet_api.v1 import agent_pb2, types_pb2


def change(sequence: int) -> agent_pb2.WatchResponse:
    return agent_pb2.WatchResponse(event=types_pb2.ProcessEvent(sequence=sequence))


@pytest.mark.pure
def test_a_subscription_keeps_order_and_knows_what_was_sent() -> None:
    subscription = Subscription(sent=10)
    for sequence in (11, 12):
        subscription.offer(change(sequence))
    assert subscription.sent == 10
    first = subscription.pop()
    assert first is not None
    assert first.event.sequence == 11
    assert subscription.sent == 11
    assert subscription.pop() is not None
    assert subscription.pop() is None


@pytest.mark.pure
def test_a_subscription_that_is_not_read_drops_all_until_a_snapshot() -> None:
    subscription = Subscription(sent=0, limit=3)
    for sequence in range(1, 6):
        subscription.offer(change(sequence))
    assert "3 changes behind" in subscription.gap
    assert subscription.pop() is None
    assert subscription.sent == 0
    subscription.restart(5)
    subscription.offer(change(6))
    assert not subscription.gap
    assert subscription.sent == 5
    message = subscription.pop()
    assert message is not None
    assert message.event.sequence == 6


def follow(body: Callable[[Feed, Copy, FakeSupervisor], Awaitable[None]]) -> None:
    supervisor = FakeSupervisor([make_row("web")]).start()

    async def run() -> None:
        link = Link(socket.socket(fileno=supervisor.theirs.detach()))
        copy = Copy()
        feed = Feed(link, copy, time.monotonic)
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            task = tasks.create_task(feed.run())
            assert await feed.wait_until_filled(20)
            await body(feed, copy, supervisor)
            link.close()
            await task

    try:
        asyncio.run(run())
    finally:
        supervisor.end()


def test_a_position_is_waited_for() -> None:
    async def body(feed: Feed, copy: Copy, supervisor: FakeSupervisor) -> None:
        position = supervisor.position()
        assert await feed.wait_for(position, 0.0)
        position["sequence"] += 3
        waiting = [asyncio.ensure_future(feed.wait_for(position, 20)) for _ in range(3)]
        assert not await feed.wait_for(position, 0.01)
        for _ in range(3):
            await asyncio.to_thread(supervisor.change, make_row("web"))
        assert await asyncio.gather(*waiting) == [True] * 3

    follow(body)


def test_a_position_of_another_incarnation_never_comes() -> None:
    async def body(feed: Feed, copy: Copy, supervisor: FakeSupervisor) -> None:
        position = supervisor.position()
        position["incarnation"] = "second"
        assert not await feed.wait_for(position, 20)

    follow(body)


def test_it_asks_again_from_where_it_stands_when_the_stream_is_ended() -> None:
    async def body(feed: Feed, copy: Copy, supervisor: FakeSupervisor) -> None:
        position = supervisor.position()
        stopped = make_row("web", state="STOPPED", uptime=None)
        position["sequence"] = await asyncio.to_thread(supervisor.end_watch, stopped)
        assert await feed.wait_for(position, 20)
        assert supervisor.requests("watch")[1]["after"]["sequence"] == position["sequence"] - 1
        assert copy.all_processes(0.0)[0].state == types_pb2.Process.STOPPED

    follow(body)
