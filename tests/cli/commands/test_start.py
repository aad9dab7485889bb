"""`fleetctl start`."""

from pathlib import Path

import pytest
from fakes.door import fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import answers_operate, missing
from fakes.process_rows import outcome_row


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


def test_lines_as_supervisorctl_prints_them(path: str) -> None:
    outcomes = [
        outcome_row("a"),
        outcome_row("b", "unchanged", "already started", "ALREADY_STARTED"),
        outcome_row("c", "failed", "can't find command 'x'", "SPAWN_ERROR"),
    ]
    with fake_door(path, {"operate": answers_operate(*outcomes, errors=[missing("d")])}) as fake:
        result = run("start", "a", "b", "c", "d", "--door", path)
    assert result == Result(
        2,
        "d: ERROR (no such process)\na: started\nb: ERROR (already started)\nc: ERROR (spawn error)\n",
        "c: can't find command 'x'\n",
    )
    assert fake.requests[0]["verb"] == "start"
    assert fake.requests[0]["terms"] == ["a", "b", "c", "d"]


def test_already_started_is_as_wanted(path: str) -> None:
    with fake_door(path, {"operate": answers_operate(outcome_row("a", "unchanged"))}):
        assert run("start", "a", "--door", path) == Result(0, "a: ERROR (already started)\n", "")
        assert run("start", "all", "--door", path) == Result(0, "", "")


def test_no_wait(path: str) -> None:
    with fake_door(path, {"operate": answers_operate(outcome_row("a"))}) as fake:
        assert run("start", "a", "--no-wait", "--door", path).out == "a: starting\n"
    assert fake.requests[0]["wait"] is False


def test_without_a_name_nothing_is_asked(path: str) -> None:
    with fake_door(path) as fake:
        result = run("start", "--door", path)
    assert (result.code, fake.requests) == (1, [])
    assert "start requires a process name" in result.err
    assert "fleetctl start PROGRAM..." in result.err


def test_no_agent(tmp_path: Path) -> None:
    result = run("start", "a", "--door", str(tmp_path / "none" / "door.sock"))
    assert (result.code, result.out) == (4, "")
    assert "no agent runs here" in result.err
