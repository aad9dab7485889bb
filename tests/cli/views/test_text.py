"""Text for a terminal."""

import pytest
from fleet_cli.views.text import columns, pad, paint, shown, wrap, wrap_hosts, wrap_words
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("web:web_00", "web:web_00"),
        ("größe 日本", "größe 日本"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("left\u202eright", "left\\u202eright"),
        ("\x9b31m", "\\x9b31m"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text: str, printed: str) -> None:
    assert shown(text) == printed


@given(st.text())
def test_nothing_steers_a_terminal(text: str) -> None:
    result = shown(text)
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in result)
    result.encode()


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("", 0)])
def test_columns(text: str, width: int) -> None:
    assert columns(text) == width
    assert columns(pad(text, 10)) == 10
    assert pad(text, 10, right=True).endswith(text)


def test_a_text_wider_than_its_column_stays_whole() -> None:
    assert pad("abcdef", 3) == "abcdef"


def test_paint_only_with_colour() -> None:
    assert paint("RUNNING", "green", True) == "\x1b[32mRUNNING\x1b[0m"
    assert paint("RUNNING", "green", False) == "RUNNING"
    assert paint("RUNNING", "", True) == "RUNNING"


@given(st.lists(st.text("abc日", min_size=1, max_size=12)), st.integers(1, 40))
def test_wrapped_pieces_are_all_there_and_fit(pieces: list[str], width: int) -> None:
    lines = wrap(pieces, ",", width)
    assert "".join(lines) == ",".join(pieces)
    for line in lines:
        assert columns(line.rstrip(",")) <= width or "," not in line.rstrip(",")


def test_without_a_width_nothing_is_wrapped() -> None:
    assert wrap_words("word " * 100, None) == [("word " * 100).strip()]
    assert wrap_words("", 10) == [""]


def test_hosts_are_broken_between_names_never_inside_brackets() -> None:
    folded = "a[1-3,5],bbbb[7,9-11],c"
    assert wrap_hosts(folded, 10) == ["a[1-3,5],", "bbbb[7,9-11],", "c"]


def test_hosts_that_do_not_fit_are_counted() -> None:
    folded = ",".join(f"host-{letter}" for letter in "abcdefghij")
    assert wrap_hosts(folded, 14, 2) == ["host-a,host-b,", "host-c,host-d,", "... 6 more, all with -o wide"]
    assert wrap_hosts(folded, None, 2) == [folded]
