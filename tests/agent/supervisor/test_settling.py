"""A supervisor settles on its own formats after a while, later when it was asked for others."""

import pytest
from fakes.loop_turns import turn
from fleet_agent.formats.table import FORMATS
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.rewriting import REWRITTEN_SECONDS, SETTLE_SECONDS, Writer
from fleet_agent.supervisor.settling import Settling


class World:
    """One format in an old version, and a clock that is turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.loop = Loop(lambda: self.now)
        self.written = 0
        self.is_settled = False
        self.said: list[str] = []
        writer = Writer(lambda: self.written, self._write)
        self.settling = Settling(self.loop, {"journal": writer}, self._settled, self.said.append)

    def _write(self, version: int) -> None:
        if version > 9:
            raise OSError("no room")
        self.written = version

    def _settled(self) -> None:
        self.is_settled = True

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        turn(self.loop)


def test_it_settles_after_a_while() -> None:
    world = World()
    assert world.settling.versions() == {"journal": 0}
    world.pass_time(SETTLE_SECONDS - 1)
    assert not world.is_settled
    world.pass_time(1.1)
    assert world.is_settled
    assert world.written == FORMATS["journal"].version


def test_what_was_asked_for_stays_longer() -> None:
    world = World()
    world.pass_time(SETTLE_SECONDS - 1)
    assert world.settling.write_as({"journal": 7}) == ""
    world.pass_time(SETTLE_SECONDS)
    assert (world.written, world.is_settled) == (7, False)
    world.pass_time(REWRITTEN_SECONDS)
    assert world.is_settled
    assert world.written == FORMATS["journal"].version


def test_what_cannot_be_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    assert "no room" in world.settling.write_as({"journal": 10})
    monkeypatch.setitem(FORMATS, "journal", FORMATS["journal"]._replace(version=10))
    world.pass_time(REWRITTEN_SECONDS + 1)
    assert not world.is_settled
    assert "no room" in world.said[0]
