"""`fleetctl enable`: the verb and `--now` reach the agent; the agent's own words come back."""

from pathlib import Path

import pytest
from fakes.door import fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import answers_operate
from fakes.process_rows import outcome_row


@pytest.mark.parametrize(("flags", "now"), [([], False), (["--now"], True)])
def test_verb_and_now_are_sent(tmp_path: Path, flags: list[str], now: bool) -> None:
    path = str(tmp_path / "door.sock")
    with fake_door(
        path, {"operate": answers_operate(outcome_row("a", reason="enabled and started"))}
    ) as fake:
        result = run("enable", "a", *flags, "--reason", "a test", "--door", path)
    assert result == Result(0, "a: enabled and started\n", "")
    request = fake.requests[0]
    assert (request["verb"], request["now"], request["context"]["reason"]) == ("enable", now, "a test")


def test_without_a_name_nothing_is_asked(tmp_path: Path) -> None:
    path = str(tmp_path / "door.sock")
    with fake_door(path) as fake:
        result = run("enable", "--door", path)
    assert (result.code, fake.requests) == (1, [])
    assert "enable requires a process name" in result.err
