"""Results of operations outlive the supervisor and are forgotten in time."""

import os
from pathlib import Path

import fleet_agent.supervisor.results as room
import pytest
from fleet_agent.supervisor.results import Results

BEGUN = {"id": "op", "verb": "restart", "runs": {"a:a": 1}}
RESULT = {"operation_id": "op", "outcomes": [], "errors": []}


def test_who_asked_for_what_is_nobody_elses(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        results = Results(str(tmp_path / "results"), 0.0)
        results.note_begun("k", {"id": "op", "verb": "stop", "runs": {}}, 0.0)
    finally:
        os.umask(before)
    assert (tmp_path / "results").stat().st_mode & 0o777 == 0o600


def test_begun_and_ended_are_known_to_the_next_supervisor(tmp_path: Path) -> None:
    path = str(tmp_path / "results")
    first = Results(path, 100.0)
    first.note_begun("k1", BEGUN, 100.0)
    first.note_begun("k2", BEGUN, 100.0)
    first.note_result("k2", RESULT, 101.0)
    second = Results(path, 102.0)
    assert second.begun("k1") == BEGUN
    assert second.result("k1") is None
    assert second.result("k2") == RESULT
    assert second.result("k3") is None


def test_a_torn_last_line_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "results"
    first = Results(str(path), 100.0)
    first.note_begun("k1", BEGUN, 100.0)
    first.note_result("k1", RESULT, 101.0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    second = Results(str(path), 102.0)
    assert second.begun("k1") == BEGUN
    assert second.result("k1") is None


def test_results_older_than_a_day_are_forgotten(tmp_path: Path) -> None:
    path = str(tmp_path / "results")
    first = Results(path, 0.0)
    first.note_begun("old", BEGUN, 0.0)
    first.note_begun("new", BEGUN, room.MAX_AGE_SECONDS + 1)
    assert first.begun("old") is None
    assert first.begun("new") == BEGUN


def test_no_more_than_the_bound_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_RESULTS", 3)
    results = Results(str(tmp_path / "results"), 0.0)
    for number in range(20):
        results.note_begun(f"k{number}", BEGUN, float(number))
        results.note_result(f"k{number}", RESULT, float(number))
    assert results.result("k16") is None
    assert [results.result(f"k{n}") for n in (17, 18, 19)] == [RESULT] * 3
    assert (tmp_path / "results").stat().st_size < 20 * 400


def test_long_results_are_bounded_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_BYTES", 1000)
    results = Results(str(tmp_path / "results"), 0.0)
    for number in range(10):
        results.note_result(f"k{number}", {"outcomes": ["x" * 300]}, 0.0)
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
    Results(str(path), 100.0).note_begun("good", BEGUN, 100.0)
    path.write_bytes(line.encode("latin-1") + b"\n" + path.read_bytes())
    results = Results(str(path), 100.0)
    assert results.begun("good") == BEGUN
    assert results.begun("k") is None
    assert results.result("k") is None


def test_a_file_of_another_version_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "results"
    Results(str(path), 100.0).note_begun("k", BEGUN, 100.0)
    text = path.read_text()
    assert text.startswith('{"v": 1}\n')
    path.write_text(text.replace('"v": 1', '"v": 2', 1))
    assert Results(str(path), 100.0).begun("k") is None


def test_without_a_place_to_write_results_are_known_in_memory_and_written_later(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "results"
    results = Results(str(path), 100.0)
    results.note_begun("k1", BEGUN, 100.0)
    results.note_result("k1", RESULT, 100.0)
    assert results.result("k1") == RESULT
    path.parent.mkdir()
    results.note_begun("k2", BEGUN, 100.0)
    assert Results(str(path), 100.0).result("k1") == RESULT


def test_a_short_write_spoils_no_other_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "results")
    results = Results(path, 100.0)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
        results.note_begun("k1", BEGUN, 100.0)
    results.note_begun("k2", BEGUN, 100.0)
    later = Results(path, 100.0)
    assert (later.begun("k1"), later.begun("k2")) == (BEGUN, BEGUN)
