"""The question before a change on more than one host."""

import pytest
from fakes.fleetctl import read, screen
from fleet_api.errors import BadRequest
from fleet_cli import confirm
from fleet_cli.answers import Change
from fleet_cli.terminal import Terminal

pytestmark = pytest.mark.pure

STOP = Change("stop", ("web:*",), "op", "key", "alice")
TWELVE = [f"web{number}" for number in range(1, 13)]
ASKABLE = Terminal(can_ask=True)


def test_question() -> None:
    assert confirm.question(STOP, TWELVE) == "Stop web:* on 12 hosts (web[1-12])?"
    signal = STOP._replace(verb="signal", signal="HUP", terms=("a", "b\x1b"))
    assert confirm.question(signal, TWELVE) == "Send HUP to a b\\x1b on 12 hosts (web[1-12])?"


@pytest.mark.parametrize(
    ("answer", "is_agreed"),
    [
        ("y\n", True),
        ("YES\n", True),
        (" y ", True),
        ("\n", False),
        ("n\n", False),
        ("", False),
        ("yo\n", False),
    ],
)
def test_only_yes_is_yes(answer: str, is_agreed: bool) -> None:
    made = screen(terminal=ASKABLE, answer=answer)
    assert confirm.is_agreed(STOP, TWELVE, made.invocation, is_agreed_already=False) is is_agreed
    end = "" if answer else "\n"
    assert read(made.err) == f"Stop web:* on 12 hosts (web[1-12])? [y/N] {end}"
    assert read(made.out) == ""


def test_one_host_or_yes_need_no_question() -> None:
    made = screen()
    assert confirm.is_agreed(STOP, ["web1"], made.invocation, is_agreed_already=False)
    assert confirm.is_agreed(STOP, TWELVE, made.invocation, is_agreed_already=True)
    assert read(made.err) == ""


def test_two_hosts_need_one() -> None:
    made = screen(terminal=ASKABLE, answer="n\n")
    assert not confirm.is_agreed(STOP, ["web1", "web2"], made.invocation, is_agreed_already=False)
    assert "on 2 hosts (web[1-2])?" in read(made.err)


def test_where_nobody_can_answer_it_is_an_error() -> None:
    with pytest.raises(BadRequest) as caught:
        confirm.is_agreed(STOP, TWELVE, screen(answer="y\n").invocation, is_agreed_already=False)
    assert "nothing was sent" in caught.value.message
    assert "--yes" in caught.value.hint
