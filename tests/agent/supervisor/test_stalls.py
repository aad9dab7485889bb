"""A log thread that waits for its disk is noticed by whoever looks, and so is its return."""

from fakes.loop_turns import turn
from fleet_agent.core.model import Now
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.stalls import STALL_SECONDS, WATCH_SECONDS, Stalls
from fleet_agent.supervisor.troubles import Troubles


class World:
    def __init__(self) -> None:
        self.now = 100.0
        self.since = 0.0
        self.told: list[str] = []
        self.loop = Loop(lambda: self.now)
        troubles = Troubles(self.loop, lambda: Now(self.now, self.now), self.told.append)
        self.stalls = Stalls(self.loop, self._busy, troubles)

    def _busy(self, now: float) -> tuple[float, str]:
        return (now - self.since, "/srv/web.log") if self.since else (0.0, "")

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        turn(self.loop)
        turn(self.loop)


def test_a_thread_that_rests_or_works_is_no_trouble() -> None:
    world = World()
    assert world.stalls.look() == ""
    world.since = world.now - 0.5
    assert world.stalls.look() == ""
    world.since = 0.0
    world.pass_time(60)
    assert world.told == []


def test_a_stall_is_told_without_anybody_asking_again_and_so_is_its_end() -> None:
    world = World()
    world.since = world.now - 0.01
    assert world.stalls.look() == ""
    world.pass_time(STALL_SECONDS)
    assert len(world.told) == 1
    assert world.told[0].startswith("log disk stalls at /srv/web.log: one write has taken 3 s")
    assert "stalls at /srv/web.log" in world.stalls.look()
    for _ in range(5):
        world.pass_time(1.1)
    assert len(world.told) == 1
    world.since = 0.0
    world.pass_time(1.1)
    assert world.stalls.look() == ""
    world.pass_time(5)
    assert len(world.told) == 2
    assert "works again" in world.told[1]
    # Nothing is left that would wake the loop.
    assert world.loop._alarms == [] or all(alarm.is_cancelled for alarm in world.loop._alarms)


def test_a_stall_is_told_though_nobody_ever_asks() -> None:
    world = World()
    world.since = world.now
    world.stalls.begun()
    world.pass_time(WATCH_SECONDS)
    (line,) = world.told
    assert line.startswith("log disk stalls at /srv/web.log: one write has taken 15 s")
    world.since = 0.0
    world.pass_time(1.1)
    world.pass_time(5)
    assert "works again" in world.told[1]


def test_who_asks_is_told_sooner_and_of_the_end_soon() -> None:
    world = World()
    world.since = world.now - 0.01
    world.stalls.begun()
    assert world.stalls.look() == ""
    world.pass_time(STALL_SECONDS)
    assert len(world.told) == 1
    world.since = 0.0
    world.pass_time(1.1)
    world.pass_time(5)
    assert len(world.told) == 2


def test_a_thread_that_works_now_and_then_costs_one_look_in_a_while() -> None:
    world = World()
    for _ in range(100):
        world.stalls.begun()
    assert len(world.loop._alarms) == 1
    world.pass_time(WATCH_SECONDS)
    assert (world.loop._alarms, world.told) == ([], [])
