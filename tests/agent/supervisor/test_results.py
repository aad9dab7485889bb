"""Results of operations outlive the supervisor and are forgotten in time."""

from pathlib import Path

import fleet_agent.supervisor.results as room
import pytest
from fleet_agent.supervisor.results import Results

BEGUN = {"id": "op", "verb": "restart", "runs": {"a:a": 1}}
RESULT = {"operation_id": "op", "outcomes": [], "errors": []}


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
