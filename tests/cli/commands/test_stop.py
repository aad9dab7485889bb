"""`fleetctl stop`; its way to many hosts is tested in `test_operate`."""

from pathlib import Path

import pytest
from fakes.door import fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import answers_operate
from fakes.process_rows import outcome_row


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


def test_lines_as_supervisorctl_prints_them(path: str) -> None:
    outcomes = [outcome_row("a"), outcome_row("b", "unchanged", "not running", "NOT_RUNNING")]
    with fake_door(path, {"operate": answers_operate(*outcomes)}) as fake:
        result = run("stop", "a", "b", "--reason", "a test", "--door", path)
    assert result == Result(0, "a: stopped\nb: ERROR (not running)\n", "")
    request = fake.requests[0]
    assert (request["verb"], request["context"]["reason"]) == ("stop", "a test")
    assert request["context"]["actor"] == "alice"
    assert request["context"]["operation_id"] != request["context"]["key"]


def test_local_json(path: str) -> None:
    with fake_door(path, {"operate": answers_operate(outcome_row("a"))}):
        document = run("stop", "a", "-o", "json", "--door", path).json
    assert (document["kind"], document["verb"], document["operation_id"]) == ("change", "stop", "id-1")
    assert document["hosts"][0]["outcomes"][0]["result"] == "ok"


def test_without_a_name_nothing_is_asked(path: str) -> None:
    with fake_door(path) as fake:
        result = run("stop", "--door", path)
    assert (result.code, fake.requests) == (1, [])
    assert "stop requires a process name" in result.err
