"""Options that commands share."""

import inspect
from pathlib import Path

import pytest
from fakes.door import fake_door
from fakes.fleetctl import run, screen
from fakes.local_agent import answers_status
from fleet_api.errors import BadRequest
from fleet_cli.main import VERBS
from fleet_cli.options import Target, targeted


def target(**fields: object) -> Target:
    values: dict[str, object] = dict.fromkeys(Target._fields)
    values.update(invocation=screen().invocation, all_hosts=False, insecure_plaintext=False)
    values.update(fields)
    return Target(**values)  # type: ignore[arg-type]


def test_hosts_decide_who_is_asked() -> None:
    assert not target().is_remote
    assert target(hosts="web1").is_remote
    assert target(hosts="").is_remote
    assert target(all_hosts=True).is_remote
    with pytest.raises(BadRequest):
        _ = target(hosts="web1", all_hosts=True).is_remote


def test_a_command_gets_its_own_options_and_one_target() -> None:
    got: dict[str, object] = {}

    def command(target: Target, name: str = "x", loud: bool = False) -> int:
        """What it does."""
        got.update(target=target, name=name, loud=loud)
        return 7

    wrapped = targeted(command)
    parameters = inspect.signature(wrapped).parameters
    assert list(parameters)[:3] == ["context", "name", "loud"]
    assert {"hosts", "door", "insecure_plaintext"} <= set(parameters)
    assert "target" not in parameters
    assert wrapped.__doc__ == "What it does."


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "pki"])
def test_every_verb_takes_the_shared_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(verb, "--help").code == 0
    help_text = capsys.readouterr().out
    for option in (
        "--hosts",
        "--all-hosts",
        "--timeout",
        "--door",
        "--state-dir",
        "--config",
        "--controller",
    ):
        assert option in help_text
    assert "Exit code" in help_text
    assert f"Examples:\n  fleetctl {verb}" in help_text or verb == "pid"
    assert help_text.index("Options:") < help_text.index("Which hosts:") < help_text.index("Examples:")
    assert all(len(line) <= 80 for line in help_text.splitlines())


def test_the_agent_is_found_by_its_folder(tmp_path: Path) -> None:
    with fake_door(str(tmp_path / "run" / "door.sock"), {"status": answers_status()}):
        assert run("status", "--state-dir", str(tmp_path)).code == 0
        assert run("status", environ={"FLEET_STATE_DIR": str(tmp_path)}).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "--nonsense"], "no such option"),
        (["nonsense"], "there is no verb"),
        (["status", "-o", "xml"], "xml"),
        (["status", "--timeout", "soon"], "soon"),
        (["status", "--timeout", "0"], "range"),
        (["status", "-H"], "requires an argument"),
        (["tail", "a", "stdout", "b"], "unexpected"),
        (["pki"], "missing command"),
    ],
)
def test_a_mistake_in_the_command_is_code_1_and_asks_nobody(arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (1, "")
    assert words in result.err
    assert result.err.startswith("error: ")
    assert "--help`" in result.err or arguments[-1] in {"-H", "nonsense"}


def test_the_timeout_is_that_of_the_request(tmp_path: Path) -> None:
    path = str(tmp_path / "door.sock")
    with fake_door(path, {"status": lambda talk, request: None}):
        result = run("status", "--timeout", "0.2", "--door", path)
    assert result.code == 4
    assert "within 0.2 s" in result.err
