"""A change is journalled, acted on and told, in that order; deadlines ring once and on time."""

import os
from pathlib import Path

import pytest
from fakes.small_roster import SmallRoster, a_spec
from fleet_agent.core import events
from fleet_agent.core.model import Now, Process, ProcessSpec, State, Timer, TimerKind
from fleet_agent.supervisor.journal import Change


def turn(small: SmallRoster) -> None:
    """One turn of the loop."""
    small.loop.soon(small.loop.stop)
    small.loop.run()


def journalled(folder: Path) -> int:
    """The number of lines in the newest journal."""
    newest = max(folder.glob("journal.*"), key=lambda path: int(path.suffix[1:]))
    return newest.read_bytes().count(b"\n")


def test_what_happens_is_written_then_done_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = SmallRoster(tmp_path, a_spec("a"))
    order: list[str] = []
    write, act = os.write, small._act

    def writing(fd: int, data: bytes) -> int:
        order.append("written")
        return write(fd, data)

    def doing(spec: ProcessSpec, process: Process, effect: events.Effect) -> None:
        order.append("done")
        act(spec, process, effect)

    monkeypatch.setattr(os, "write", writing)
    monkeypatch.setattr(small.roster, "_act", doing)
    small.roster.watchers.append(lambda change, spec: order.append("told"))
    small.roster.apply("g:a", events.StartAsked("test"))
    assert order == ["written", "done", "told"]


def test_each_change_has_its_number_and_what_changes_nothing_has_none(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a"))
    seen: list[Change] = []
    small.roster.watchers.append(lambda change, spec: seen.append(change))
    small.roster.apply("g:a", events.StartAsked("test"))
    small.spawned("a")
    lines = journalled(tmp_path)
    small.spawned("a")
    small.roster.apply("g:a", events.StartAsked("test"))
    small.roster.resume("g:a", signalled=0, now=small.now)
    assert journalled(tmp_path) == lines
    small.roster.apply("g:a", events.SignalAsked(1))
    small.exited("a", 1)
    turn(small)
    assert [change.sequence for change in seen] == list(range(1, len(seen) + 1))
    assert [(change.old, change.process.state.value) for change in seen] == [
        ("STOPPED", "STARTING"),
        ("STARTING", "RUNNING"),
        ("RUNNING", "RUNNING"),  # no move, but a signal that the next supervisor must know of
        ("RUNNING", "EXITED"),
    ]
    assert small.journal.sequence == len(seen)


def test_events_together_are_one_line_and_the_end_of_both(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a"))
    small.roster.apply("g:a", events.StartAsked("test"))
    small.spawned("a")
    lines = journalled(tmp_path)
    process = small.roster.apply_all("g:a", [events.StopAsked("restart"), events.StartAsked("restart")])
    assert (process.state, process.wanted) == (State.STOPPING, True)
    assert journalled(tmp_path) == lines + 1
    assert small.effects[1:] == [("a", events.SendSignal(1, 15, 1))]


def test_every_watcher_hears_all_of_an_event_before_the_next(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a"))
    heard: list[str] = []
    small.roster.watchers.append(lambda change, spec: heard.append(f"one {change.process.state}"))
    small.roster.watchers.append(lambda change, spec: heard.append(f"two {change.process.state}"))
    small.roster.apply("g:a", events.StartAsked("test"))
    small.spawned("a")
    small.pass_time(5)
    heard.clear()
    small.exited("a", 1)
    assert heard == ["one EXITED", "one STARTING", "two EXITED", "two STARTING"]


def test_a_deadline_rings_once_when_it_is_due(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a", startsecs=3))
    small.roster.apply("g:a", events.StartAsked("test"))
    small.spawned("a")
    small.pass_time(2.9)
    turn(small)
    assert small.process("a").state is State.STARTING
    small.pass_time(0.1)
    turn(small)
    assert small.process("a").state is State.RUNNING
    sequence = small.journal.sequence
    small.pass_time(10)
    turn(small)
    assert small.journal.sequence == sequence


def test_a_deadline_that_is_replaced_does_not_ring(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a", startsecs=10, stopwaitsecs=10))
    small.roster.apply("g:a", events.StartAsked("test"))
    small.spawned("a")
    # The new deadline is of another kind and due at the same moment as the old one.
    small.roster.apply("g:a", events.StopAsked("test"))
    small.pass_time(10)
    turn(small)
    assert small.effects[-2] == ("a", events.SendSignal(1, 9, 2))


@pytest.mark.parametrize("seconds_away", [0.0, 2.0, 60.0])
def test_a_deadline_goes_on_in_the_next_supervisor(tmp_path: Path, seconds_away: float) -> None:
    first = SmallRoster(tmp_path, a_spec("a", startsecs=3))
    first.roster.apply("g:a", events.StartAsked("test"))
    first.spawned("a")
    second = SmallRoster(tmp_path, a_spec("a", startsecs=3))
    second.pass_time(seconds_away)
    second.roster.resume("g:a", signalled=0, now=second.now)
    turn(second)
    assert second.process("a").state is (State.RUNNING if seconds_away >= 3 else State.STARTING)
    second.pass_time(3)
    turn(second)
    assert second.process("a").state is State.RUNNING


def test_what_a_child_tells_is_taken_in_and_told(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a"))
    seen: list[tuple[Change, ProcessSpec]] = []
    small.roster.watchers.append(lambda change, spec: seen.append((change, spec)))
    found = Process(
        State.STARTING, wanted=True, run=7, changed_wall=1.0, timer=Timer(TimerKind.STARTED, 1001.0)
    )
    small.roster.adopt("g:a", found)
    assert small.process("a") == found
    assert (seen[0][0].old, seen[0][0].process) == ("STOPPED", found)
    small.roster.apply("g:a", events.Spawned(7, 70, Now(1000.0, 5000.0)))
    assert small.process("a").state is State.RUNNING


def test_who_leaves_is_journalled_without_a_deadline(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a"), a_spec("b"))
    small.roster.apply("g:a", events.StartAsked("test"))
    small.roster.apply("g:a", events.SpawnFailed(1, "no"))
    seen: list[Change] = []
    small.roster.watchers.append(lambda change, spec: seen.append(change))
    small.roster.remove("g:a", "left the configuration")
    assert (seen[0].removed, seen[0].reason) == (True, "left the configuration")
    assert "g:a" not in small.roster
    small.pass_time(100)
    turn(small)
    again = SmallRoster(tmp_path, a_spec("a"), a_spec("b"))
    assert again.process("a") == Process()


def test_another_spec_touches_no_life(tmp_path: Path) -> None:
    small = SmallRoster(tmp_path, a_spec("a"))
    small.roster.apply("g:a", events.StartAsked("test"))
    before = small.process("a")
    small.roster.replace_spec(a_spec("a", stopsignal=2))
    assert small.roster["g:a"] == (a_spec("a", stopsignal=2), before)
    assert [member.spec.stopsignal for member in small.roster.members()] == [2]
