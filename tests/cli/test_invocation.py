"""Where words go."""

import pytest
from fakes.fleetctl import read, screen
from fleet_api.errors import NotFound

pytestmark = pytest.mark.pure


def test_data_and_words_go_apart() -> None:
    made = screen()
    made.invocation.print("data")
    made.invocation.print("")
    made.invocation.tell("words")
    made.invocation.tell("")
    assert (read(made.out), read(made.err)) == ("data\n", "words\n")


def test_an_error_is_told_with_its_cure_and_cannot_steer_the_terminal() -> None:
    made = screen()
    made.invocation.tell_error(NotFound("X", "no \x1b[2J", "look"))
    made.invocation.tell_error(NotFound("X", "no hint"))
    assert read(made.err) == "error: no \\x1b[2J\nhint: look\nerror: no hint\n"
