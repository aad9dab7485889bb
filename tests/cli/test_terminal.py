"""What the streams can do."""

import io
from collections.abc import Mapping

import pytest
from fleet_cli.terminal import Terminal, look

pytestmark = pytest.mark.pure


class Tty(io.StringIO):
    """A stream with a person at its end."""

    def isatty(self) -> bool:
        return True


def test_pipes() -> None:
    assert look({"COLUMNS": "80"}, io.StringIO(), io.StringIO(), io.StringIO()) == Terminal(
        None, False, False, False
    )


@pytest.mark.parametrize(
    ("environ", "terminal"),
    [
        ({}, Terminal(80, True, True, True)),
        ({"COLUMNS": "140"}, Terminal(140, True, True, True)),
        ({"COLUMNS": "x"}, Terminal(80, True, True, True)),
        ({"NO_COLOR": "1"}, Terminal(80, False, True, True)),
        ({"NO_COLOR": ""}, Terminal(80, True, True, True)),
        ({"TERM": "dumb"}, Terminal(80, False, True, False)),
    ],
)
def test_terminal(environ: Mapping[str, str], terminal: Terminal) -> None:
    assert look(environ, Tty(), Tty(), Tty()) == terminal


def test_each_stream_counts_for_its_own_use() -> None:
    assert look({}, Tty(), io.StringIO(), Tty()) == Terminal(None, False, True, True)
    assert look({}, io.StringIO(), Tty(), Tty()) == Terminal(80, True, False, True)
    assert look({}, Tty(), Tty(), io.StringIO()) == Terminal(80, True, False, False)
