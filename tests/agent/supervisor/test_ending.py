"""What signals ask of an agent: everything is ended once, in order, with the last words in the logs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from fakes.loop_turns import turn
from fakes.small_roster import SmallRoster, a_spec
from fleet_agent.core import events
from fleet_agent.core.log_lines import LogLine
from fleet_agent.link.messages import Detach, Leave, ToKeeper
from fleet_agent.supervisor.ending import Ending


class Rooms:
    """Stands for logs, trees and announcement, and notes what they are told to do."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        def note(*_: Any) -> None:
            self.done.append(name)

        return note


class World(SmallRoster):
    def __init__(self, folder: Path) -> None:
        (folder / "journal").mkdir()
        super().__init__(folder / "journal", a_spec("a"))
        self.rooms = Rooms()
        self.sent: list[ToKeeper] = []
        self.lines: list[LogLine] = []
        room = cast(Any, self.rooms)
        self.ending = Ending(
            self.loop,
            self.roster,
            room,
            room,
            room,
            (str(folder / "journal"), str(folder / "kept")),
            room.take_log_results,
            self._send,
            self.lines.append,
        )

    def _send(self, message: ToKeeper) -> None:
        self.rooms.done.append("send")
        self.sent.append(message)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


LAST = ["close", "take_back", "stop", "take_log_results", "send"]


def test_a_stop_leaves_when_all_is_stopped_and_only_once(world: World, tmp_path: Path) -> None:
    world.roster.apply("g:a", events.StartAsked("test"))
    world.spawned("a")
    assert world.ending.refusal() == ""
    world.ending.ask("stop", "SIGTERM")
    assert world.ending.refusal() == "the agent is stopping everything"
    world.ending.ask("stop", "SIGINT")
    world.ending.ask("detach", "SIGUSR1")
    assert world.sent == []
    world.exited("a")
    turn(world.loop)
    assert (world.sent, world.rooms.done) == ([Leave(0)], LAST)
    assert list((tmp_path / "kept").iterdir()) != []
    assert [line.text for line in world.lines if "already" in line.text] == [
        "received SIGINT: everything is being stopped already",
        "received SIGUSR1: everything is being stopped already",
    ]


def test_a_detach_stops_nothing(world: World) -> None:
    world.roster.apply("g:a", events.StartAsked("test"))
    world.spawned("a")
    world.ending.ask("detach", "SIGUSR1")
    assert (world.sent, world.rooms.done) == ([Detach()], LAST)
    assert world.process("a").pid == 77


def test_logs_are_opened_anew_and_nothing_ends(world: World) -> None:
    world.ending.ask("reopen", "SIGUSR2")
    world.ending.ask("reload", "SIGHUP")
    assert world.rooms.done == ["reopen"]
    assert world.ending.refusal() == ""
    assert "not re-read" in world.lines[-1].text
