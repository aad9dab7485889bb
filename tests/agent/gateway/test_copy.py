"""The copy: snapshots, changes, uptimes, and how far back it remembers."""

import time
from typing import Any

import pytest
from fakes.supervisor import make_row
from fleet_agent.gateway.copy import Copy
from fleet_api.rows import EventRow, PositionRow, ProcessRow
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


def position(sequence: int) -> PositionRow:
    return PositionRow(agent_id="web1", incarnation="first", sequence=sequence)


def event(sequence: int, row: ProcessRow, removed: bool = False) -> EventRow:
    return EventRow(sequence=sequence, time=1.0, old_state="RUNNING", reason="", process=row, removed=removed)


def filled(*rows: ProcessRow, sequence: int = 10, now: float = 100.0, recent_events: int = 5) -> Copy:
    copy = Copy(recent_events)
    copy.replace(rows, position(sequence), now)
    return copy


def names(copy: Copy) -> list[str]:
    return [message.name for message in copy.all_processes(100.0)]


def test_it_is_empty_until_the_first_snapshot() -> None:
    copy = Copy()
    assert not copy.is_filled
    assert list(copy.names()) == []
    copy.replace([], position(0), 0.0)
    assert copy.is_filled


def test_the_order_is_that_of_the_snapshot_and_new_ones_come_last() -> None:
    copy = filled(make_row("b"), make_row("a"))
    copy.apply(event(11, make_row("0")), 100.0)
    copy.apply(event(12, make_row("b", state="STOPPED", uptime=None)), 100.0)
    assert names(copy) == ["b", "a", "0"]
    assert next(iter(copy.names())) == ("b", "b")


def test_uptime_and_description_are_those_of_the_moment() -> None:
    copy = filled(make_row("web", uptime=1.5), now=100.0)
    (message,) = copy.all_processes(now=190.25)
    assert (message.uptime.seconds, message.uptime.nanos) == (91, 750_000_000)
    assert message.description == "pid 7, uptime 0:01:31"
    (message,) = copy.all_processes(now=0.0)  # a clock that went back
    assert message.description == "pid 7, uptime 0:00:00"


def test_only_what_runs_is_described_by_its_uptime() -> None:
    copy = filled(
        make_row("starting", state="STARTING", description="", uptime=0.5),
        make_row("stopped", state="STOPPED", description="Not started", uptime=None),
    )
    starting, stopped = copy.all_processes(now=110.0)
    assert (starting.description, starting.uptime.seconds) == ("", 10)
    assert stopped.description == "Not started"
    assert not stopped.HasField("uptime")
    copy.apply(event(11, make_row("starting", state="STOPPED", description="gone", uptime=None)), 110.0)
    assert copy.all_processes(now=120.0)[0].description == "gone"


def test_a_removed_process_is_forgotten() -> None:
    copy = filled(make_row("a"), make_row("b"))
    told = copy.apply(event(11, make_row("a"), removed=True), 100.0)
    assert told is not None
    assert told.removed
    assert names(copy) == ["b"]
    assert copy.processes([("a", "a"), ("b", "b")], 100.0)[0].name == "b"


def test_a_change_is_taken_once() -> None:
    copy = filled(make_row("a"))
    assert copy.apply(event(10, make_row("b")), 100.0) is None
    assert copy.apply(event(11, make_row("b")), 100.0) is not None
    assert copy.apply(event(11, make_row("c")), 100.0) is None
    assert names(copy) == ["a", "b"]
    assert copy.sequence == 11


def test_a_position_that_was_given_away_stays_as_it_is() -> None:
    copy = filled(make_row("a"))
    before = copy.position
    copy.apply(event(11, make_row("a")), 100.0)
    assert before["sequence"] == 10


@given(steps=st.lists(st.integers(1, 3), max_size=20), asked=st.integers(0, 80))
def test_recent_changes_are_whole_or_refused(steps: list[int], asked: int) -> None:
    """Numbers may have holes, but what is given is exactly what came after the number asked for."""
    copy = filled(make_row("a"), sequence=10, recent_events=5)
    sequences, sequence = [], 10
    for step in steps:
        sequence += step
        copy.apply(event(sequence, make_row("a")), 100.0)
        sequences.append(sequence)
    known = copy.events_after(asked)
    wanted = [number for number in sequences if number > asked]
    if asked < 10 or len(wanted) > 5:
        assert known is None
    else:
        assert known is not None
        assert [each.sequence for each in known] == wanted


def test_a_snapshot_begins_history_anew() -> None:
    copy = filled(make_row("a"))
    copy.apply(event(11, make_row("a")), 100.0)
    copy.replace([make_row("z")], position(20), 100.0)
    assert copy.events_after(11) is None
    assert copy.events_after(20) == []
    assert names(copy) == ["z"]


def test_a_thousand_processes_are_read_without_being_converted() -> None:
    copy = filled(*(make_row(f"p{number}") for number in range(1000)))
    started = time.perf_counter()
    for _ in range(10):
        messages: list[Any] = copy.all_processes(200.0)
    assert len(messages) == 1000
    assert time.perf_counter() - started < 5
