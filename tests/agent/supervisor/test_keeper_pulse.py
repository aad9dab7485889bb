"""A keeper that owes an answer is noticed, and so is its return; nobody asks while nobody looks."""

from fakes.loop_turns import turn
from fleet_agent.core.model import Now
from fleet_agent.link.messages import Call, Release, ToKeeper
from fleet_agent.supervisor.keeper_pulse import PATIENCE_SECONDS, SILENT_SECONDS, KeeperPulse
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.troubles import Troubles


class World:
    def __init__(self, is_heeded: bool = True) -> None:
        self.now = 100.0
        self.calls = 0
        self.told: list[str] = []
        self.loop = Loop(lambda: self.now)
        troubles = Troubles(self.loop, lambda: Now(self.now, self.now), self.told.append)
        self.pulse = KeeperPulse(self.loop, self._sent, troubles)
        self.pulse.is_heeded = is_heeded

    def _sent(self, message: ToKeeper) -> None:
        self.calls += isinstance(message, Call)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        turn(self.loop)
        turn(self.loop)


def test_one_call_at_a_time() -> None:
    world = World()
    assert world.pulse.owes() == 0.0
    world.now += 2
    assert world.pulse.owes() == 2.0
    assert world.calls == 1
    world.pulse.answered()
    assert world.pulse.owes() == 0.0
    assert world.calls == 2
    world.pulse.answered()
    world.pass_time(60)
    assert (world.calls, world.told) == (2, [])


def test_what_is_waited_for_in_vain_is_followed_by_a_call() -> None:
    world = World()
    world.pulse.ask(Release("g:a", 1))
    world.pulse.ask(Release("g:b", 1))
    assert world.calls == 0
    world.pass_time(PATIENCE_SECONDS + 0.1)
    assert world.calls == 1


def test_who_says_something_is_not_called() -> None:
    world = World()
    for _ in range(5):
        world.pulse.ask(Release("g:a", 1))
        world.now += 0.5
        world.pulse.heard()
    world.pass_time(0.4)
    world.pulse.ask(Release("g:a", 1))
    world.pass_time(PATIENCE_SECONDS - 0.1)
    assert world.calls == 0, "the patience counts from the request"
    world.pass_time(0.2)
    assert world.calls == 1


def test_silence_is_told_once_and_so_is_its_end() -> None:
    world = World()
    world.pulse.owes()
    world.pulse.answered()
    world.pass_time(SILENT_SECONDS - 1)
    world.pulse.owes()
    world.pass_time(1)
    assert world.told == []
    for _ in range(9):
        world.pass_time(1.1)
    (line,) = world.told
    assert line.startswith("keeper has not answered for")
    world.pulse.answered()
    world.pass_time(5)
    assert len(world.told) == 2
    assert world.told[1].startswith("keeper works again after")


def test_a_keeper_of_a_version_that_does_not_answer_is_not_called() -> None:
    world = World(is_heeded=False)
    assert world.pulse.owes() == 0.0
    world.pass_time(60)
    assert (world.calls, world.told) == (0, [])
