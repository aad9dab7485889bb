"""The fleet in memory: facts go in, inventories change, readers wait."""

import asyncio

from fleet_api.v1 import types_pb2
from fleet_controller.core.fleet import Changed, Link, SnapshotPart
from fleet_controller.model import Host, Inventory, Moment, Position
from fleet_controller.state import FleetState, Pulse


def state_of(*hosts: Host) -> FleetState:
    state = FleetState(lambda: Moment(1.0, 2.0))
    state.adopt(Inventory({host.name: host for host in hosts}))
    return state


A, B = Host("a", "a:1", "a"), Host("b", "b:1", "b")
SNAPSHOT: SnapshotPart[types_pb2.Process] = SnapshotPart(Position("a", "one", 1), {}, True)


def test_a_new_inventory_keeps_what_is_known_of_hosts_that_stay() -> None:
    state = state_of(A, B)
    state.apply("a", SNAPSHOT)
    state.apply("b", SNAPSHOT)
    change = state.adopt(Inventory({"a": Host("a", "a:1", "a", ("web",)), "b": Host("b", "b:2", "b")}))
    assert (change.relabelled, change.moved) == (("a",), ("b",))
    assert state.view("a").link is Link.UP
    assert state.view("b").link is Link.CONNECTING


def test_facts_about_a_host_that_has_left_are_dropped() -> None:
    state = state_of(A)
    state.adopt(Inventory())
    assert state.apply("a", SNAPSHOT) == ""
    assert state.view("a").position is None


def test_a_host_that_must_be_read_anew_forgets_its_position() -> None:
    state = state_of(A)
    state.apply("a", SNAPSHOT)
    assert state.apply("a", Changed(9, ("x", "x"), types_pb2.Process())) == "changes 2 to 8 are missing"
    assert state.view("a").position is None


def test_each_host_is_told_once_as_soon_as_it_is_ready() -> None:
    async def scenario() -> None:
        state = state_of(A, B)
        told = state.each_when(("a", "b"), lambda name: 0.0 if state.view(name).link is Link.UP else 20.0)
        async with asyncio.timeout(10):
            state.apply("b", SNAPSHOT)
            assert await anext(told) == "b"
            async with asyncio.TaskGroup() as tasks:
                second = tasks.create_task(asyncio.wait_for(anext(told), 10))
                await asyncio.sleep(0)
                state.apply("a", SNAPSHOT)
            assert second.result() == "a"
            assert [name async for name in told] == []

    asyncio.run(scenario())


def test_a_pulse_wakes_those_who_wait_and_gives_up_in_time() -> None:
    async def scenario() -> None:
        pulse = Pulse()
        assert not await pulse.wait(0.01)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(pulse.wait(10))
            await asyncio.sleep(0)
            pulse.beat()
        assert waiting.result()

    asyncio.run(scenario())
