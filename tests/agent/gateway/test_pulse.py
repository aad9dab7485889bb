"""The pulse, by a clock of the test's own."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from fleet_agent.gateway.pulse import DEAD_SECONDS, Pulse
from fleet_api.errors import Unavailable
from fleet_api.frames import Frame

pytestmark = pytest.mark.pure


class Supervisor:
    """Answers pings when it may."""

    def __init__(self) -> None:
        self.now = 100.0
        self.pings = 0
        self.answers = asyncio.Event()
        self.answer: Frame = {}

    async def ping(self) -> Frame:
        self.pings += 1
        await self.answers.wait()
        return self.answer


def beat(body: Callable[[Pulse, Supervisor], Awaitable[None]]) -> None:
    async def run() -> None:
        supervisor = Supervisor()
        pulse = Pulse(supervisor.ping, lambda: supervisor.now)
        task = asyncio.ensure_future(pulse.run())
        async with asyncio.timeout(20):
            await body(pulse, supervisor)
        task.cancel()

    asyncio.run(run())


def test_the_age_grows_until_there_is_an_answer() -> None:
    async def body(pulse: Pulse, supervisor: Supervisor) -> None:
        supervisor.now += DEAD_SECONDS + 1
        assert not pulse.is_alive
        assert not await pulse.check(0.01)
        supervisor.answers.set()
        assert await pulse.check(20)
        assert pulse.age == 0
        supervisor.now += 3
        assert pulse.age == 3
        assert pulse.is_alive

    beat(body)


def test_one_ping_at_a_time_and_none_without_a_listener() -> None:
    async def body(pulse: Pulse, supervisor: Supervisor) -> None:
        await asyncio.sleep(0)
        assert supervisor.pings == 0
        supervisor.now += 10
        assert not await pulse.check(0.01)
        assert not await pulse.check(0.01)
        assert supervisor.pings == 1

    beat(body)


def test_an_error_is_no_answer() -> None:
    async def refuse() -> Frame:
        raise Unavailable("SUPERVISOR_GONE", "gone")

    async def run() -> None:
        now = 100.0
        pulse = Pulse(refuse, lambda: now)
        task = asyncio.ensure_future(pulse.run())
        now += 100
        assert not await pulse.check(0.01)
        task.cancel()

    asyncio.run(run())


def test_a_clock_that_went_back_makes_no_negative_age() -> None:
    async def body(pulse: Pulse, supervisor: Supervisor) -> None:
        supervisor.now -= 50
        assert pulse.age == 0

    beat(body)


def test_what_the_supervisor_says_of_keeper_and_troubles_is_kept() -> None:
    trouble = {"kind": "log", "subject": "/a", "message": "no", "since": 5.0, "count": 2, "lost_bytes": 7}

    async def body(pulse: Pulse, supervisor: Supervisor) -> None:
        supervisor.now += 2
        supervisor.answer = {"keeper_owes": 4.5, "troubles": [trouble]}
        supervisor.answers.set()
        assert await pulse.check(20)
        assert pulse.keeper_age == 4.5
        assert [(row.kind, row.count) for row in pulse.troubles] == [("log", 2)]
        supervisor.now += 1
        assert pulse.keeper_age == 5.5

    beat(body)


@pytest.mark.parametrize("answer", [{"troubles": [{}]}, {"troubles": 3}, {"keeper_owes": "long"}])
def test_an_answer_that_cannot_be_read_is_one_all_the_same(answer: Frame) -> None:
    async def body(pulse: Pulse, supervisor: Supervisor) -> None:
        supervisor.now += 2
        supervisor.answer = answer
        supervisor.answers.set()
        assert await pulse.check(20)
        assert pulse.troubles == []

    beat(body)
