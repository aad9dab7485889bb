"""Log bytes on their way to the screen."""

import pytest
from fakes.fleetctl import Screen, read, screen
from fleet_cli.log_output import LogOutput, last_lines
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


def made(hosts: list[str]) -> tuple[Screen, LogOutput]:
    there = screen()
    return there, LogOutput(there.invocation, hosts)


def test_one_log_is_passed_on_byte_for_byte() -> None:
    there, output = made(["web1"])
    for data in (b"a\nb", b"\xff\x00", b"", b"c\n"):
        output.write("web1", data)
    output.finish()
    there.out.flush()
    assert there.out.buffer.getvalue() == b"a\nb\xff\x00c\n"  # type: ignore[attr-defined]


def test_lines_of_several_hosts_are_never_torn() -> None:
    there, output = made(["web1", "db10"])
    output.write("web1", b"a")
    output.write("db10", b"x\ny")
    output.write("web1", b"b\n\nc")
    assert read(there.out) == "db10 | x\nweb1 | ab\nweb1 | \n"
    output.finish()
    output.finish()
    assert read(there.out).endswith("web1 | c\ndb10 | y\n")


@given(st.binary(), st.data())
def test_however_the_bytes_are_cut_the_lines_are_the_same(text: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    outs = []
    for pieces in ([text], [text[:at], text[at:]]):
        there, output = made(["a", "b"])
        for piece in pieces:
            output.write("a", piece)
        output.finish()
        there.out.flush()
        outs.append(there.out.buffer.getvalue())  # type: ignore[attr-defined]
    assert outs[0] == outs[1]


def test_what_is_lost_is_said() -> None:
    there, output = made(["web1", "web2"])
    output.gap("web1", 17)
    output.gap("web2", 0)
    assert read(there.err) == "==> web1: 17 bytes are gone (rotated away or cleared) <==\n"
    assert read(there.out) == ""


@pytest.mark.parametrize(
    ("data", "lines", "last"),
    [
        (b"a\nb\nc\n", 1, b"c\n"),
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 2, None),
        (b"x\na\n\n", 2, b"a\n\n"),
        (b"", 1, None),
    ],
)
def test_last_lines(data: bytes, lines: int, last: bytes | None) -> None:
    assert last_lines(data, lines) == last
