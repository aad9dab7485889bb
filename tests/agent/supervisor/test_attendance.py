"""A gateway that answers is left alone, and one that does not is noticed."""

from typing import Any, cast

from fakes.loop_turns import turn
from fleet_agent.supervisor.attendance import CALL_SECONDS, START_SECONDS, Attendance
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.sessions import Session


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[int] = []
        self.silences: list[float] = []
        self.loop = Loop(lambda: self.now)
        self.attendance = Attendance(self.loop, self.silences.append)
        self.attendance.begin(cast(Session, self), 7)

    def begin_stream(self, number: int, cancel: Any) -> None:
        assert number == 7

    def item(self, number: int, item: dict[str, int]) -> None:
        assert number == 7
        self.calls.append(item["call"])

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        turn(self.loop)


def test_one_that_answers_is_called_at_a_slow_pace() -> None:
    world = World()
    for number in range(1, 7):
        world.attendance.present(number)
        world.pass_time(CALL_SECONDS)
    assert world.calls == [1, 2, 3, 4, 5, 6, 7]
    assert world.silences == []


def test_one_that_does_not_answer_is_told_once() -> None:
    world = World()
    world.attendance.present(1)
    world.pass_time(CALL_SECONDS)
    world.attendance.present(1)
    world.pass_time(CALL_SECONDS)
    world.pass_time(10 * CALL_SECONDS)
    assert world.silences == [CALL_SECONDS]
    assert world.calls == [1, 2]


def test_whoever_looks_has_it_called_at_once_and_only_once() -> None:
    world = World()
    world.attendance.present(1)
    world.now += 1
    world.attendance.look()
    world.attendance.look()
    assert world.calls == [1, 2]
    world.pass_time(CALL_SECONDS)
    assert world.silences == [CALL_SECONDS]


def test_after_a_pause_of_our_own_it_gets_its_time() -> None:
    world = World()
    world.pass_time(60)
    assert world.silences == []
    world.pass_time(CALL_SECONDS)
    assert world.silences == [60 + CALL_SECONDS]


def test_one_that_has_gone_is_not_called() -> None:
    world = World()
    world.attendance.end()
    world.pass_time(10 * CALL_SECONDS)
    world.attendance.look()
    assert (world.calls, world.silences) == ([1], [])


def test_one_that_never_opens_its_stream_is_noticed() -> None:
    world = World()
    world.attendance.expect()
    world.pass_time(START_SECONDS)
    assert world.silences == [START_SECONDS]


def test_one_that_opens_it_in_time_is_called() -> None:
    world = World()
    world.attendance.expect()
    world.attendance.begin(cast(Session, world), 7)
    world.attendance.present(2)
    world.pass_time(START_SECONDS)
    assert world.silences == []
    assert world.calls == [1, 2, 3]
