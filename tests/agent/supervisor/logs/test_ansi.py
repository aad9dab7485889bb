"""Escape sequences are removed, however the stream is cut."""

import itertools

import pytest
from fleet_agent.supervisor.logs import ansi
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

HISTORIES = [
    ("nothing to do", b"plain\n", b"plain\n"),
    ("colours", b"\x1b[1;31mred\x1b[0m\n", b"red\n"),
    ("private and intermediate bytes", b"\x1b[?25lx\x1b[0 qy", b"xy"),
    ("a title ended by BEL", b"\x1b]0;title\x07text", b"text"),
    ("a title ended by ST", b"\x1b]0;title\x1b\\text", b"text"),
    ("a charset", b"\x1b(Btext", b"text"),
    ("a short one", b"a\x1bMb\x1b7c", b"abc"),
    ("unfinished, ended by its line", b"\x1b[12\nnext\x1b]0;title\nlast", b"\nnext\nlast"),
    ("broken off by the next", b"\x1b[3\x1b[0mx\x1b]t\x1b[1my", b"xy"),
    ("bytes of UTF-8 are kept", "\x1b[1mgrün\x1b[0m ✓".encode(), "grün ✓".encode()),
    ("a lone escape", b"a\x1b\nb", b"a\nb"),
]

pieces = st.lists(
    st.sampled_from(
        [b"\x1b", b"[", b"]", b"\x07", b"\\", b"\n", b"0;1", b"m", b"text", b"(", b"\xc3\xbc", b" "]
    )
).map(b"".join)


@pytest.mark.parametrize(
    ("data", "left"), [history[1:] for history in HISTORIES], ids=[h[0] for h in HISTORIES]
)
def test_histories(data: bytes, left: bytes) -> None:
    assert ansi.strip(data, ansi.PLAIN)[0] == left


@given(st.one_of(pieces, st.binary(max_size=60)), st.lists(st.integers(0, 60), max_size=8))
def test_any_cutting_gives_the_same(data: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    state = ansi.PLAIN
    found = b""
    for begin, end in itertools.pairwise(edges):
        part, state = ansi.strip(data[begin:end], state)
        found += part
    assert (found, state) == ansi.strip(data, ansi.PLAIN)


@given(st.one_of(pieces, st.binary(max_size=60)))
def test_no_escape_stays_and_no_line_end_goes(data: bytes) -> None:
    left, _ = ansi.strip(data, ansi.PLAIN)
    assert ansi.ESC not in left
    assert left.count(b"\n") == data.count(b"\n")
