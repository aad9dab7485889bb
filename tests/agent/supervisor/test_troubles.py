"""Troubles from both threads of a supervisor, told in the loop's."""

import threading
import time

import fleet_agent.supervisor.troubles as room
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

    def _tell(self, line: str) -> None:
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


def test_what_failed_is_tried_again_as_long_as_it_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "RETRY_SECONDS", 0.01)
    tries = 0

    def retry() -> None:
        nonlocal tries
        tries += 1
        report("is full" if tries < 3 else "")

    report = world.troubles.about("journal", "/j", retry)
    report("is full")
    report("is full")
    turn_until(world.loop, lambda: not world.troubles.rows())
    assert tries == 3
    assert world.told[1].startswith("journal /j works again after 4 failures")


def test_where_the_log_may_not_tell_stderr_does(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    world.troubles.said.add("/activity.log")
    world.troubles.fail("log", "/activity.log", "is full")
    world.troubles.fail("log", "/other.log", "is full")
    turn_until(world.loop, lambda: len(world.told) == 2)
    assert capfd.readouterr().err == "fleet-agent: log /activity.log is full\n"
