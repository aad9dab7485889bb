"""`fleetctl disable`: the verb and `--now` reach the agent; the agent's own words come back."""

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
        path, {"operate": answers_operate(outcome_row("a", reason="disabled and stopped"))}
    ) as fake:
        result = run("disable", "a", *flags, "--reason", "a test", "--door", path)
    assert result == Result(0, "a: disabled and stopped\n", "")
    request = fake.requests[0]
    assert (request["verb"], request["now"], request["context"]["reason"]) == ("disable", now, "a test")


def test_without_a_name_nothing_is_asked(tmp_path: Path) -> None:
    path = str(tmp_path / "door.sock")
    with fake_door(path) as fake:
        result = run("disable", "--door", path)
    assert (result.code, fake.requests) == (1, [])
    assert "disable requires a process name" in result.err
