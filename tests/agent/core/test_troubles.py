"""Troubles: told once, counted, told once more at their end; whatever happens, no flood and no growth."""

import pytest
from fleet_agent.core.model import Now
from fleet_agent.core.troubles import (
    CALM_SECONDS,
    LONGEST_SETTLE_SECONDS,
    MAX_PER_KIND,
    OTHERS,
    SETTLE_SECONDS,
    Table,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

FULL = "cannot be written: No space left on device"


def at(seconds: float) -> Now:
    return Now(1000.0 + seconds, 5000.0 + seconds)


def lines(table: Table, seconds: float) -> list[str]:
    return [line for _, line in table.lines(at(seconds))]


def test_two_lines_tell_of_a_trouble_however_often_it_repeats() -> None:
    table = Table()
    assert table.fail("log", "/a", FULL, at(0), lost=10)
    assert lines(table, 0) == [f"log /a {FULL}"]
    for second in range(1, 37):
        assert not table.fail("log", "/a", FULL, at(second / 3), lost=10)
        assert lines(table, second / 3) == []
    assert table.due() is None
    assert table.over("log", "/a", at(12))
    assert lines(table, 12) == []
    assert table.due() == at(12 + SETTLE_SECONDS).monotonic
    assert lines(table, 13) == ["log /a works again after 37 failures in 12 s; 370 bytes were lost"]
    assert list(table.rows()) == []
    assert table.due() is None


def test_one_that_never_was_is_not_over() -> None:
    table = Table()
    assert not table.over("log", "/a", at(0))
    assert lines(table, 10) == []


def test_a_row_tells_since_when_and_how_often() -> None:
    table = Table()
    table.fail("journal", "", FULL, at(3))
    table.fail("journal", "", "another reason", at(4), lost=7)
    assert list(table.rows()) == [
        {
            "kind": "journal",
            "subject": "",
            "message": f"journal {FULL}",
            "since": at(3).wall,
            "count": 2,
            "lost_bytes": 7,
        }
    ]


def test_one_that_comes_back_at_once_has_not_been_over() -> None:
    table = Table()
    table.fail("log", "/a", FULL, at(0))
    lines(table, 0)
    for second in range(1, 20):
        table.over("log", "/a", at(second))
        assert not table.fail("log", "/a", FULL, at(second + 0.5))
        assert lines(table, second + 0.9) == []


def test_one_that_comes_and_goes_is_told_ever_more_seldom() -> None:
    table = Table()
    told = []
    for tenth in range(10 * 3600):
        seconds = tenth / 10
        # For two seconds it fails, for two it works.
        (
            table.fail("log", "/a", FULL, at(seconds))
            if tenth % 40 < 20
            else table.over("log", "/a", at(seconds))
        )
        told += lines(table, seconds)
    assert len(told) <= 6
    table.over("log", "/a", at(3600))
    assert lines(table, 3600 + LONGEST_SETTLE_SECONDS)[-1].startswith("log /a works again after")
    later = 3600 + LONGEST_SETTLE_SECONDS + CALM_SECONDS
    table.fail("log", "/a", FULL, at(later))
    table.over("log", "/a", at(later))
    assert len(lines(table, later + SETTLE_SECONDS)) == 2


def test_of_a_kind_only_so_many_are_told_apart() -> None:
    table = Table()
    for number in range(1000):
        table.fail("log", f"/{number}", FULL, at(0))
    told = lines(table, 0)
    assert len(told) == MAX_PER_KIND + 1
    assert told[-1] == f"log {OTHERS} {FULL}"
    assert [row["count"] for row in table.rows()] == [1] * MAX_PER_KIND + [1000 - MAX_PER_KIND]
    table.fail("journal", "", FULL, at(0))
    assert lines(table, 0) == [f"journal {FULL}"]
    for number in range(1000):
        table.over("log", f"/{number}", at(1))
    assert len(lines(table, 3)) == MAX_PER_KIND + 1
    assert [row["kind"] for row in table.rows()] == ["journal"]
    # Those that are over make room.
    table.fail("log", "/new", FULL, at(5))
    assert lines(table, 5) == [f"log /new {FULL}"]


def test_a_clock_set_back_makes_no_negative_durations() -> None:
    table = Table()
    table.fail("log", "/a", FULL, Now(10.0, 5000.0))
    table.over("log", "/a", Now(12.0, -80_000.0))
    assert [line for _, line in table.lines(Now(14.0, -80_000.0))][-1].endswith("after 1 failure in 2 s")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 30), st.booleans(), st.integers(0, 400))))
def test_whatever_happens_lines_alternate_and_the_table_is_bounded(
    history: list[tuple[str, int, bool, int]],
) -> None:
    table = Table()
    now = 0.0
    told: dict[tuple[str, str], list[bool]] = {}
    for kind, subject, fails, pause in history:
        now += pause / 10
        (table.fail(kind, str(subject), FULL, at(now)) if fails else table.over(kind, str(subject), at(now)))
        for key, line in table.lines(at(now)):
            told.setdefault(key, []).append("works again" in line)
        assert len(list(table.rows())) <= 3 * (MAX_PER_KIND + 1)
    for endings in told.values():
        assert endings == [number % 2 == 1 for number in range(len(endings))]
