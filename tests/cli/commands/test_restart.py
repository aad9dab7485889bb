"""`fleetctl restart`."""

from pathlib import Path

import pytest
from fakes.door import fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import answers_operate
from fakes.process_rows import outcome_row


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


def test_lines_of_stop_and_start(path: str) -> None:
    outcomes = [
        outcome_row("a", reason="restarted"),
        outcome_row("b", "failed", "exited too quickly", "SPAWN_ERROR"),
    ]
    with fake_door(path, {"operate": answers_operate(*outcomes)}) as fake:
        result = run("restart", "all", "--door", path)
    assert result == Result(2, "a: stopped\na: started\nb: ERROR (spawn error)\n", "b: exited too quickly\n")
    assert fake.requests[0]["verb"] == "restart"


def test_without_a_name_nothing_is_asked(path: str) -> None:
    with fake_door(path) as fake:
        result = run("restart", "--door", path)
    assert (result.code, fake.requests) == (1, [])
    assert "restart requires a process name" in result.err
