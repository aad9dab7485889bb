"""Troubles from both threads of a supervisor, told in the loop's."""

import threading
import time

import pytest
from fakes.loop_turns import turn, turn_until
from fleet_agent.core import troubles as core
from fleet_agent.core.model import Now
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.troubles import Troubles


class World:
    def __init__(self) -> None:
        self.loop = Loop(time.monotonic)
        self.told: list[str] = []
        self.threads: set[int] = set()
        self.troubles = Troubles(self.loop, lambda: Now(time.monotonic(), time.time()), self._tell)

    def _tell(self, kind: str, subject: str, line: str) -> None:
        assert line.startswith(f"{kind} {subject}")
        self.told.append(line)
        self.threads.add(threading.get_ident())


@pytest.fixture
def world() -> World:
    return World()


def test_a_trouble_is_told_by_the_loop_once_and_so_is_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "SETTLE_SECONDS", 0.05)

    def work() -> None:
        for _ in range(100):
            world.troubles.fail("log", "/a", "is full", lost=3)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.told == []
    turn_until(world.loop, lambda: world.told)
    assert world.told == ["log /a is full"]
    assert world.troubles.rows()[0]["count"] == 300
    world.troubles.over("log", "/a")
    turn_until(world.loop, lambda: len(world.told) == 2)
    assert world.told[1].startswith("log /a works again after 300 failures in 0 s; 900 bytes were lost")
    assert world.threads == {threading.get_ident()}
    assert world.troubles.rows() == []


def test_about_one_subject_no_words_mean_that_it_works(world: World) -> None:
    report = world.troubles.about("journal", "/j")
    report("is full")
    turn(world.loop)
    assert [row["message"] for row in world.troubles.rows()] == ["journal /j is full"]
    report("")
    turn_until(world.loop, lambda: not world.troubles.rows())
