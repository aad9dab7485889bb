"""A supervisor goes on with what is in force; an agent that is started reads its file."""

import json
import stat
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fleet_agent.config.load import Loaded, load
from fleet_agent.config.settings import AgentConfig
from fleet_agent.supervisor.active import ActiveConfig, ConfigurationBroken


class World:
    """A configuration file and the folder of the agent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "agent.conf"
        numbers = count()
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.active = ActiveConfig(
            str(self.file), str(folder), {}, "host-1", lambda: f"{next(numbers):08}abcdef"
        )

    def write(self, programs: str, daemon: str = "") -> None:
        self.file.write_text(f"[supervisord]\nchildlogdir={self.logs}\n{daemon}\n{programs}")

    def load(self, goes_on: bool = False, has_children: bool = False) -> AgentConfig:
        return self.active.load(goes_on, has_children)

    def auto_logs(self) -> list[str]:
        return sorted(path.name for path in self.logs.iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


A = "[program:a]\ncommand=true\n"
B = "[program:b]\ncommand=true\nstdout_logfile=/dev/null\nredirect_stderr=true\n"


def names(config: AgentConfig) -> list[str]:
    return [spec.name for group in config.groups for spec in group.processes]


def test_an_edit_takes_no_effect_because_a_supervisor_died(world: World) -> None:
    world.write(A)
    first = world.load()
    world.write(A + B)
    assert world.load(goes_on=True) == first
    assert names(world.load()) == ["a", "b"]


def test_without_a_kept_configuration_the_file_counts(world: World) -> None:
    world.write(A)
    assert names(world.load(goes_on=True)) == ["a"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "3", '{"v": 99}', '{"v": 1}', '{"v": 1, "path": 3, "daemon": {}}']
)
def test_a_broken_kept_configuration_is_no_obstacle(world: World, content: str) -> None:
    world.write(A)
    (world.folder / "active.json").write_text(content)
    assert names(world.load(goes_on=True)) == ["a"]


def test_what_is_kept_is_nobody_elses_business(world: World) -> None:
    world.write("[program:a]\ncommand=true\nenvironment=SECRET=x\n")
    world.load()
    path = world.folder / "active.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "SECRET" in path.read_text()
    assert json.loads(path.read_text())["v"] == 1


def test_a_broken_file_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.write("[program:a]\n")
    with pytest.raises(ConfigurationBroken):
        world.load()
    assert "agent.conf" in capsys.readouterr().err


def test_a_broken_file_is_no_reason_to_let_go_of_children(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.write(A)
    before = world.load()
    world.write("[program:a]\n")
    assert world.load(has_children=True) == before
    assert "going on with what was in force" in capsys.readouterr().err
    with pytest.raises(ConfigurationBroken):
        world.load()


def test_auto_logs_are_made_and_those_of_the_last_life_removed(world: World) -> None:
    world.write(A + B)
    world.load()
    first = world.auto_logs()
    assert first == [
        "a-stderr---supervisor-00000000.log",
        "a-stdout---supervisor-00000001.log",
    ]
    for name in first:
        assert stat.S_IMODE((world.logs / name).stat().st_mode) == 0o600
    for backup in (".1", ".2"):
        (world.logs / f"{first[0]}{backup}").write_text("rotated")
    (world.logs / "mine.log").write_text("of somebody else")
    world.load()
    assert world.auto_logs() == [
        "a-stderr---supervisor-00000002.log",
        "a-stdout---supervisor-00000003.log",
        "mine.log",
    ]


def test_auto_logs_stay_where_they_are_asked_to(world: World) -> None:
    world.write(A, "nocleanup=true")
    world.load()
    world.load()
    assert len(world.auto_logs()) == 4


def test_children_that_live_go_on_writing_their_auto_logs(world: World) -> None:
    world.write(A)
    before = world.load()
    world.write(A + "[program:c]\ncommand=true\n")
    after = world.load(has_children=True)
    assert after.groups[0].processes[0].stdout == before.groups[0].processes[0].stdout
    assert len(world.auto_logs()) == 4


def test_a_folder_of_logs_that_is_gone_stops_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(A)

    def load_and_remove(*arguments: Any, **options: Any) -> Loaded:
        loaded = load(*arguments, **options)
        world.logs.rmdir()
        return loaded

    monkeypatch.setattr("fleet_agent.supervisor.active.load", load_and_remove)
    (spec,) = world.load().groups[0].processes
    assert spec.stdout.path.startswith(str(world.logs))
