"""Results of operations outlive the supervisor and are forgotten in time."""

import os
from pathlib import Path

import fleet_agent.supervisor.results as room
import pytest
from fleet_agent.core.model import Now
from fleet_agent.supervisor.results import Results


def at(seconds: float) -> Now:
    """So many seconds after some moment."""
    return Now(seconds, 1_000_000.0 + seconds)


BEGUN = {"id": "op", "verb": "restart", "runs": {"a:a": 1}}
RESULT = {"operation_id": "op", "outcomes": [], "errors": []}


def test_who_asked_for_what_is_nobody_elses(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        results = Results(str(tmp_path / "results"), at(0.0), print)
        results.note_begun("k", {"id": "op", "verb": "stop", "runs": {}}, at(0.0))
    finally:
        os.umask(before)
    assert (tmp_path / "results").stat().st_mode & 0o777 == 0o600


def test_begun_and_ended_are_known_to_the_next_supervisor(tmp_path: Path) -> None:
    path = str(tmp_path / "results")
    first = Results(path, at(100.0), print)
    first.note_begun("k1", BEGUN, at(100.0))
    first.note_begun("k2", BEGUN, at(100.0))
    first.note_result("k2", RESULT, at(101.0))
    second = Results(path, at(102.0), print)
    assert second.begun("k1") == BEGUN
    assert second.result("k1") is None
    assert second.result("k2") == RESULT
    assert second.result("k3") is None


def test_a_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "results"
    first = Results(str(path), at(100.0), print)
    first.note_begun("k1", BEGUN, at(100.0))
    first.note_result("k1", RESULT, at(101.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    second = Results(str(path), at(102.0), print)
    assert second.begun("k1") == BEGUN
    assert second.result("k1") is None


def test_results_older_than_a_day_are_forgotten(tmp_path: Path) -> None:
    path = str(tmp_path / "results")
    first = Results(path, at(0.0), print)
    first.note_begun("old", BEGUN, at(0.0))
    first.note_begun("new", BEGUN, at(room.MAX_AGE_SECONDS + 1))
    assert first.begun("old") is None
    assert first.begun("new") == BEGUN


def test_no_more_than_the_bound_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_RESULTS", 3)
    results = Results(str(tmp_path / "results"), at(0.0), print)
    for number in range(20):
        results.note_begun(f"k{number}", BEGUN, at(float(number)))
        results.note_result(f"k{number}", RESULT, at(float(number)))
    assert results.result("k16") is None
    assert [results.result(f"k{n}") for n in (17, 18, 19)] == [RESULT] * 3
    assert (tmp_path / "results").stat().st_size < 20 * 400


def test_long_results_are_bounded_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 1000)
    results = Results(str(tmp_path / "results"), at(0.0), print)
    for number in range(10):
        results.note_result(f"k{number}", {"outcomes": ["x" * 300]}, at(0.0))
    known = [number for number in range(10) if results.result(f"k{number}")]
    assert known == [7, 8, 9]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "7",
        '"text"',
        '{"key": "k", "t": "now"}',
        '{"key": [], "t": []}',
        '{"key": "k", "t": 1, "begun": 3}',
        '{"key": "k", "t": 1, "begun": {}}',
        '{"key": "k", "t": 1, "result": {}}',
        '{"key": "k", "t": 1, "result": {"outcomes": 3}}',
        "\x00\xff",
    ],
)
def test_what_nobody_wrote_is_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "results"
    Results(str(path), at(100.0), print).note_begun("good", BEGUN, at(100.0))
    path.write_bytes(line.encode("latin-1") + b"\n" + path.read_bytes())
    results = Results(str(path), at(100.0), print)
    assert results.begun("good") == BEGUN
    assert results.begun("k") is None
    assert results.result("k") is None


def test_a_file_of_another_version_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "results"
    Results(str(path), at(100.0), print).note_begun("k", BEGUN, at(100.0))
    text = path.read_text()
    assert text.startswith('{"v": 1}\n')
    path.write_text(text.replace('"v": 1', '"v": 2', 1))
    assert Results(str(path), at(100.0), print).begun("k") is None


def test_without_a_place_to_write_results_are_known_in_memory_and_written_later(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results"
    results = Results(str(path), at(100.0), print)
    results.note_begun("k1", BEGUN, at(100.0))
    results.note_result("k1", RESULT, at(100.0))
    assert results.result("k1") == RESULT
    path.parent.mkdir()
    results.note_begun("k2", BEGUN, at(100.0))
    assert Results(str(path), at(100.0), print).result("k1") == RESULT


def test_a_short_write_spoils_no_other_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "results")
    results = Results(path, at(100.0), print)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
        results.note_begun("k1", BEGUN, at(100.0))
    results.note_begun("k2", BEGUN, at(100.0))
    later = Results(path, at(100.0), print)
    assert (later.begun("k1"), later.begun("k2")) == (BEGUN, BEGUN)


def test_a_clock_that_jumps_makes_no_result_older_or_younger(tmp_path: Path) -> None:
    path = str(tmp_path / "results")
    day = 86_400.0
    results = Results(path, Now(100.0, 5 * day), print)
    results.note_begun("k1", BEGUN, Now(100.0, 5 * day))
    results.note_begun("k2", BEGUN, Now(101.0, 7 * day))
    results.note_begun("k3", BEGUN, Now(102.0, 3 * day))
    assert [results.begun(key) for key in ("k1", "k2", "k3")] == [BEGUN] * 3
    later = Results(path, Now(103.0, 9 * day), print)
    assert [later.begun(key) for key in ("k1", "k2", "k3")] == [BEGUN] * 3
    later.note_begun("k4", BEGUN, Now(102.0 + day, 9 * day))
    assert [later.begun(key) for key in ("k1", "k2", "k3", "k4")] == [None, None, None, BEGUN]


def test_results_of_an_earlier_version_or_boot_age_by_the_time_of_day(tmp_path: Path) -> None:
    path = tmp_path / "results"
    begun = '{"id": "op", "verb": "restart", "runs": {"a:a": 1}}'
    path.write_text(
        '{"v": 1}\n'
        f'{{"t": 1000.0, "key": "old", "begun": {begun}}}\n'
        f'{{"t": 90000.0, "key": "new", "begun": {begun}}}\n'
        f'{{"t": 90000.0, "m": 777.0, "key": "boot", "begun": {begun}}}\n'
    )
    results = Results(str(path), Now(50.0, 90_001.0), print)
    assert [results.begun(key) for key in ("old", "new", "boot")] == [None, BEGUN, BEGUN]


def test_what_cannot_be_written_is_reported_each_time_and_so_is_the_end(tmp_path: Path) -> None:
    said: list[str] = []
    path = tmp_path / "folder" / "results"
    results = Results(str(path), at(100.0), said.append)
    results.note_begun("k1", BEGUN, at(100.0))
    words = "cannot be written: No such file or directory; a new supervisor would carry out a retried command"
    assert said == [f"{words} once more"] * 2
    path.parent.mkdir()
    results.catch_up()
    results.note_begun("k3", BEGUN, at(100.0))
    results.catch_up()
    assert said[2:] == [""]
    assert Results(str(path), at(100.0), print).begun("k1") == BEGUN
