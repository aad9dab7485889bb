"""Each call of the supervisor is answered, one after the other."""

import asyncio
import time
from collections.abc import Callable

from fakes.supervisor import FakeSupervisor
from fleet_agent.gateway.attendance import attend
from fleet_agent.gateway.link import Link
from fleet_api.errors import BadRequest
from fleet_api.frames import Frame


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_calls_are_answered_until_the_link_ends() -> None:
    async def scenario() -> None:
        supervisor = FakeSupervisor([]).start()
        link = Link(supervisor.theirs)
        task = asyncio.create_task(attend(link))
        await until(lambda: supervisor.callable)
        for call in (1, 2, 3):
            supervisor.item(supervisor.callable[0], {"call": call})
        await until(
            lambda: [frame["call"] for frame in supervisor.seen if frame["do"] == "present"] == [1, 2, 3]
        )
        link.close()
        async with asyncio.timeout(20):
            await task
        supervisor.end()

    asyncio.run(scenario())


def test_a_supervisor_that_does_not_call_is_not_bothered() -> None:
    def refuse(number: int, frame: Frame) -> None:
        raise BadRequest("UNKNOWN_REQUEST", "no such request")

    async def scenario() -> None:
        supervisor = FakeSupervisor([]).start()
        supervisor.streams["attend"] = refuse
        async with asyncio.timeout(20):
            await attend(Link(supervisor.theirs))
        supervisor.end()

    asyncio.run(scenario())
