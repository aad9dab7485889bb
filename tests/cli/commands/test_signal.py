"""`fleetctl signal`."""

from pathlib import Path

import pytest
from fakes.door import fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import answers_operate
from fakes.process_rows import outcome_row


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


@pytest.mark.parametrize("signal", ["HUP", "SIGUSR1", "10", "sigterm", "rtmin"])
def test_signalled(path: str, signal: str) -> None:
    outcomes = [outcome_row("a"), outcome_row("b", "failed", "not running", "NOT_RUNNING")]
    with fake_door(path, {"operate": answers_operate(*outcomes)}) as fake:
        result = run("signal", signal, "a", "b", "--door", path)
    assert result == Result(2, "a: signalled\nb: ERROR (not running)\n", "")
    request = fake.requests[0]
    assert (request["verb"], request["signal"], request["terms"]) == ("signal", signal, ["a", "b"])


@pytest.mark.parametrize("signal", ["NO", "SIG", "-", "HUP "])
def test_a_signal_that_does_not_exist_is_sent_nowhere(path: str, signal: str) -> None:
    with fake_door(path) as fake:
        result = run("signal", signal, "a", "--door", path)
    assert (result, fake.requests) == (
        Result(1, "", f"error: {signal!r} is no signal\nhint: such as HUP, SIGHUP or 1\n"),
        [],
    )


@pytest.mark.parametrize("arguments", [[], ["HUP"]])
def test_without_names_nothing_is_asked(path: str, arguments: list[str]) -> None:
    with fake_door(path) as fake:
        result = run("signal", *arguments, "--door", path)
    assert (result.code, fake.requests) == (1, [])
    assert "signal requires a signal name and a process name" in result.err
