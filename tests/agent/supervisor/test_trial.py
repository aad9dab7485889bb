"""The trial reads everything, tells what it cannot read, and leaves no trace."""

import os
from pathlib import Path

import pytest
from fakes.state_samples import SAMPLES
from fleet_agent.formats.table import FORMATS
from fleet_agent.supervisor.trial import PAUSE_SECONDS, TRIES, Trial
from fleet_api.version import VERSION

PLACES = {
    "journal": "run/journal",
    "results": "run",
    "active": "run",
    "port": "run",
    "upgrade": "run",
    "in_flight": "run",
    "epochs": "state",
    "desires": "state",
    "sidecar": "state/logs",
}
FILES = {
    "journal": "run/journal/journal.1",
    "results": "run/results",
    "active": "run/active.json",
    "port": "run/port",
    "upgrade": "run/upgrade.json",
    "in_flight": "run/inflight",
    "epochs": "state/epochs.json",
    "desires": "state/desires.json",
    "sidecar": "state/logs/6403b7b04a173c52.json",
}


class World:
    """The folders of an agent with a sample of everything in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name, place in PLACES.items():
            (folder / place).mkdir(parents=True, exist_ok=True)
            SAMPLES[name].write(folder / place, FORMATS[name].version)
        self.pauses: list[float] = []

    def try_out(self) -> Trial:
        trial = Trial(self.pauses.append)
        trial.read_runtime(str(self.folder / "run"), "boot-1")
        trial.read_state(str(self.folder / "state"))
        trial.finish()
        return trial

    def file(self, name: str) -> Path:
        return self.folder / FILES[name]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_all_that_is_there_is_found(world: World) -> None:
    trial = world.try_out()
    assert (trial.problems, trial.notes, world.pauses) == ([], [], [])
    found = {name: known.found for name, known in trial.formats.items() if name in PLACES}
    assert found == dict.fromkeys(PLACES, (1,))
    assert {name: (known.reads, known.writes) for name, known in trial.formats.items()} == {
        name: (format_.reads, format_.version) for name, format_ in FORMATS.items()
    }


def test_nothing_there_is_no_problem(tmp_path: Path) -> None:
    trial = Trial(lambda _: None)
    trial.read_runtime(str(tmp_path / "run"), "boot-1")
    trial.read_state(str(tmp_path / "state"))
    trial.finish()
    assert (trial.problems, trial.notes) == ([], [])
    assert not any(known.found for known in trial.formats.values())


def traces(folder: Path) -> dict[str, tuple[object, ...]]:
    """What a look at a folder shows: names, contents, times, modes."""
    return {
        str(path): (
            path.stat().st_mtime_ns,
            path.stat().st_ctime_ns,
            path.stat().st_mode,
            path.stat().st_ino,
            path.read_bytes() if path.is_file() else None,
        )
        for path in [folder, *sorted(folder.rglob("*"))]
    }


@pytest.mark.parametrize("is_damaged", [False, True])
def test_it_leaves_no_trace(world: World, is_damaged: bool) -> None:
    if is_damaged:
        for name in FILES:
            world.file(name).write_bytes(b"{")
    before = traces(world.folder)
    world.try_out()
    assert traces(world.folder) == before


def with_version(path: Path, number: int) -> None:
    """The file, telling another version of itself."""
    told = {b"FLT1": b"FLT%d", b'"v": 1': b'"v": %d', b'"v":1': b'"v":%d'}
    told |= {b'"version": 1': b'"version": %d', b'"version":1': b'"version":%d'}
    whole = path.read_bytes()
    (found,) = (one for one in told if whole.count(one) == 1)
    path.write_bytes(whole.replace(found, told[found] % number))


@pytest.mark.parametrize("name", FILES)
def test_a_version_that_is_not_known_is_told_by_name(world: World, name: str) -> None:
    with_version(world.file(name), 9)
    trial = world.try_out()
    said = trial.problems if FORMATS[name].is_vital else trial.notes
    words = f"{FORMATS[name].words} is in format 9; fleet-agent {VERSION} reads only 1 ({world.file(name)})"
    assert said == [words]
    assert trial.formats[name].found == (9,)
    assert [*trial.problems, *trial.notes] == [words]


@pytest.mark.parametrize("name", ["journal", "active", "epochs", "sidecar"])
def test_what_this_version_cannot_make_sense_of_is_a_problem(world: World, name: str) -> None:
    path = world.file(name)
    path.write_bytes(path.read_bytes().replace(b'"incarnation"', b'"x"').replace(b'"epochs"', b'"x"'))
    path.write_bytes(path.read_bytes().replace(b'"daemon"', b'"x"').replace(b'"log_id"', b'"x"'))
    (problem,) = world.try_out().problems
    assert problem.startswith(f"{path} cannot be read as {FORMATS[name].words} of format 1: KeyError")


@pytest.mark.parametrize("name", sorted({*FILES} - {"in_flight"}))
def test_a_torn_file_is_noted_and_no_problem(world: World, name: str) -> None:
    world.file(name).write_bytes(b'{"v')
    trial = world.try_out()
    assert trial.problems == []
    assert trial.notes == [f"{world.file(name)} is torn, or no file of an agent; any version passes it over"]


@pytest.mark.parametrize("name", FILES)
def test_nobody_waits_for_what_stands_in_the_place_of_a_file(world: World, name: str) -> None:
    world.file(name).unlink()
    os.mkfifo(world.file(name))
    trial = world.try_out()
    assert (trial.problems, len(trial.notes)) == ([], 1)


def test_torn_last_lines_are_not_even_noted(world: World) -> None:
    for name in ("journal", "results"):
        path = world.file(name)
        path.write_bytes(path.read_bytes()[:-4])
    trial = world.try_out()
    assert (trial.problems, trial.notes) == ([], [])


def test_a_journal_of_another_boot_is_nobodys_business(world: World) -> None:
    trial = Trial(world.pauses.append)
    trial.read_runtime(str(world.folder / "run"), "boot-2")
    trial.finish()
    assert trial.problems == []


def test_a_file_in_the_middle_of_a_change_is_looked_at_again(world: World) -> None:
    path = world.file("active")
    whole = path.read_bytes()
    path.write_bytes(whole[:10])

    def pause(seconds: float) -> None:
        world.pauses.append(seconds)
        path.write_bytes(whole)

    trial = Trial(pause)
    trial.read_runtime(str(world.folder / "run"), "boot-1")
    trial.finish()
    assert (trial.problems, trial.notes) == ([], [])
    assert world.pauses == [PAUSE_SECONDS]


def test_patience_has_an_end(world: World) -> None:
    with_version(world.file("active"), 9)
    world.try_out()
    assert world.pauses == [PAUSE_SECONDS] * (TRIES - 1)


def test_many_files_of_an_unknown_version_take_no_longer_and_are_told_once(world: World) -> None:
    first = world.file("sidecar")
    with_version(first, 9)
    for number in range(100):
        (first.parent / f"x{number}.json").write_bytes(first.read_bytes())
    trial = world.try_out()
    words = f"the record of a log is in format 9; fleet-agent {VERSION} reads only 1 ({first} and 100 more)"
    assert trial.problems == [words]
    assert world.pauses == [PAUSE_SECONDS] * (TRIES - 1)
