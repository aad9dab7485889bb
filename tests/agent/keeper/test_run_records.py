"""Run records survive the disk, and a torn one costs no run."""

import json
import os
from pathlib import Path

import fleet_agent.keeper.run_records as room
import pytest
from fakes.later_format import install
from fleet_agent.keeper.run_records import Run, RunRecords, from_stem, stem_of
from hypothesis import given
from hypothesis import strategies as st

PROCESS = "web:näme/with..%41 strange\n bytes"
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.mark.pure
@given(names, st.integers(1, 10**9))
def test_a_stem_is_a_file_name_that_tells_process_and_run(process: str, run: int) -> None:
    stem = stem_of(process, run)
    assert "/" not in stem
    assert stem.isascii()
    assert len(stem) < 200
    assert ("~" in stem) is (from_stem(stem) is None)
    if "~" not in stem:
        assert from_stem(stem) == (process, run)


@pytest.mark.pure
@given(names, names)
def test_different_processes_have_different_stems(one: str, other: str) -> None:
    assert (stem_of(one, 1) == stem_of(other, 1)) is (one == other)


@pytest.mark.pure
@pytest.mark.parametrize("stem", ["", "a", "a.", ".1", "a.x", "%4.1", "%zz.1", "ä.1", "a.²", "a~1.1", "%.1"])
def test_other_names_tell_nothing(stem: str) -> None:
    assert from_stem(stem) is None


@pytest.fixture
def records(tmp_path: Path) -> RunRecords:
    (tmp_path / "runs").mkdir()
    (tmp_path / "fifos").mkdir()
    return RunRecords(str(tmp_path / "runs"), str(tmp_path / "fifos"))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(PROCESS, 7, stem_of(PROCESS, 7), ["stdin", "stdout"], str(tmp_path / "fifos"))
    run.pid, run.ticks, run.boot_id, run.signals = 77, 12345, "boot", 3
    run.started_monotonic, run.started_wall = 1.5, 1e9
    return run


def test_what_is_written_is_read(records: RunRecords, run: Run) -> None:
    for status in (None, 0, 9, 256, -1):
        run.status = status
        records.write(run, is_new=status is None)
        (read,), problems = records.load()
        assert problems == []
        assert read.to_state() == run.to_state()
        assert read.to_child() == run.to_child()
    records.remove(run)
    assert records.load() == ([], [])


def test_a_record_torn_at_any_byte_is_set_aside_and_its_run_still_known(
    records: RunRecords, run: Run, tmp_path: Path
) -> None:
    records.write(run)
    (path,) = (tmp_path / "runs").iterdir()
    whole = path.read_bytes()
    for fifo in run.fifos:
        os.mkfifo(fifo)
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        (read,), (problem,) = records.load()
        assert (read.process, read.run, read.pid, read.streams) == (PROCESS, 7, 0, ("stdin", "stdout"))
        assert str(path) in problem
        assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"version": None},
        {"pid": "77"},
        {"pid": True},
        {"run": 1.5},
        {"process": None},
        {"streams": ["stderr", "stdin"]},
        {"streams": 5},
        {"monotonic": "x"},
        {"monotonic": []},
        {"status": "0"},
    ],
)
def test_a_record_with_a_wrong_value_is_set_aside(
    records: RunRecords, run: Run, tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "runs" / f"{run.stem}.json"
    path.write_text(json.dumps({"version": 1, **run.to_state(), **change}))
    runs, problems = records.load()
    assert runs == []
    assert len(problems) == 1
    assert (tmp_path / "runs" / f"{run.stem}.json.bad").exists()


def test_other_files_do_no_harm(records: RunRecords, run: Run, tmp_path: Path) -> None:
    records.write(run)
    (tmp_path / "runs" / "half.json.tmp").write_text("{")
    (tmp_path / "runs" / "readme").write_text("x")
    (tmp_path / "runs" / "folder.json").mkdir()
    runs, problems = records.load()
    assert [read.process for read in runs] == [PROCESS]
    assert len(problems) == 1
    assert not (tmp_path / "runs" / "half.json.tmp").exists()


def test_records_go_on_in_an_older_format(
    records: RunRecords, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, room, "RUN_RECORD", "ticks", "start")
    newest = RunRecords(str(tmp_path / "runs"), str(tmp_path / "fifos"))
    newest.write(run)
    (path,) = (tmp_path / "runs").iterdir()
    assert json.loads(path.read_text())["version"] == 2
    newest.version = 1
    newest.write(run)
    state = json.loads(path.read_text())
    assert (state["version"], state["start"], "ticks" in state) == (1, run.ticks, False)
    (read,), problems = newest.load()
    assert problems == []
    assert read.to_state() == run.to_state()
    path.write_text(json.dumps({**state, "version": 3}))
    assert "a run record is in format 3" in newest.load()[1][0]


def test_half_a_record_takes_the_place_of_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = RunRecords(str(tmp_path), str(tmp_path))
    run = Run("g:a", 1, "g%3Aa.1", ["stdin"], str(tmp_path))
    records.write(run)
    whole = (tmp_path / "g%3Aa.1.json").read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
    with pytest.raises(OSError, match="No space left"):
        records.write(run)
    assert (tmp_path / "g%3Aa.1.json").read_bytes() == whole
