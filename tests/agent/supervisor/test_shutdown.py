"""Stopping everything goes wave by wave and ends once."""

from pathlib import Path

from fakes.small_roster import SmallRoster, a_spec
from fleet_agent.core import events
from fleet_agent.core.model import Autorestart, Exit, GroupSpec, State
from fleet_agent.supervisor.shutdown import Shutdown


def a_fleet(folder: Path) -> SmallRoster:
    small = SmallRoster(folder, a_spec("web"))
    early = a_spec("db", group="early")
    small.roster.add(GroupSpec("early", 1, (early,)), {})
    small.journal.begin("inc", 0, small.roster.states())
    return small


def states(small: SmallRoster) -> list[State]:
    return [small.roster[id_].process.state for id_ in ("g:web", "early:db")]


def turn(small: SmallRoster) -> None:
    """One turn of the loop."""
    small.loop.soon(small.loop.stop)
    small.loop.run()


def test_what_started_first_stops_last(tmp_path: Path) -> None:
    small = a_fleet(tmp_path)
    done: list[str] = []
    for id_ in ("g:web", "early:db"):
        small.roster.apply(id_, events.StartAsked("test"))
        run = small.roster[id_].process.run
        small.roster.apply(id_, events.Spawned(run, 7, small.now))
    Shutdown(small.loop, small.roster, "the end", print, lambda: done.append("done"))
    assert states(small) == [State.STOPPING, State.RUNNING]
    small.exited("web")
    turn(small)
    assert states(small) == [State.STOPPED, State.STOPPING]
    assert small.roster["early:db"].process.reason == "the end"
    assert done == []
    small.roster.apply("early:db", events.Exited(1, Exit(code=0)))
    turn(small)
    assert done == ["done"]


def test_with_nothing_to_stop_it_is_done_at_once(tmp_path: Path) -> None:
    small = a_fleet(tmp_path)
    small.roster.apply("g:web", events.StartAsked("test"))
    small.roster.apply("g:web", events.SpawnFailed(1, "no"))
    done: list[str] = []
    Shutdown(small.loop, small.roster, "the end", print, lambda: done.append("done"))
    turn(small)
    assert done == ["done"]
    assert small.process("web").state is State.STOPPED


def test_what_waits_for_its_turn_is_not_started_again(tmp_path: Path) -> None:
    small = a_fleet(tmp_path)
    small.roster.replace_spec(a_spec("db", group="early", autorestart=Autorestart.ALWAYS))
    for id_ in ("g:web", "early:db"):
        small.roster.apply(id_, events.StartAsked("test"))
        small.roster.apply(id_, events.Spawned(1, 7, small.now))
    small.pass_time(60)
    done: list[str] = []
    Shutdown(small.loop, small.roster, "the end", print, lambda: done.append("done"))
    small.roster.apply("early:db", events.Exited(1, Exit(code=1)))
    small.pass_time(60)
    turn(small)
    assert states(small) == [State.STOPPING, State.EXITED]
    small.exited("web")
    turn(small)
    assert done == ["done"]
    assert [effect for _, effect in small.effects if isinstance(effect, events.Spawn)] == [
        events.Spawn(1)
    ] * 2


def test_starts_that_were_due_are_called_off_before_their_turn(tmp_path: Path) -> None:
    small = a_fleet(tmp_path)
    small.roster.apply("g:web", events.StartAsked("test"))
    small.spawned("web")
    small.roster.apply("early:db", events.StartAsked("test"))
    small.roster.apply("early:db", events.SpawnFailed(1, "no"))
    Shutdown(small.loop, small.roster, "the end", print, lambda: None)
    assert states(small) == [State.STOPPING, State.STOPPED]


def test_a_restart_under_way_is_but_a_stop(tmp_path: Path) -> None:
    small = a_fleet(tmp_path)
    small.roster.apply("g:web", events.StartAsked("test"))
    small.spawned("web")
    small.roster.apply_all("g:web", [events.StopAsked("restart"), events.StartAsked("restart")])
    done: list[str] = []
    Shutdown(small.loop, small.roster, "the end", print, lambda: done.append("done"))
    small.exited("web")
    turn(small)
    assert (states(small)[0], done) == (State.STOPPED, ["done"])


def test_a_start_that_fails_during_the_end_is_not_tried_again(tmp_path: Path) -> None:
    small = a_fleet(tmp_path)
    small.roster.apply("g:web", events.StartAsked("test"))
    small.spawned("web")
    small.roster.apply("early:db", events.StartAsked("test"))
    Shutdown(small.loop, small.roster, "the end", print, lambda: None)
    small.roster.apply("early:db", events.SpawnFailed(1, "no"))
    assert states(small) == [State.STOPPING, State.FATAL]


def test_whom_it_waits_for_is_told_every_three_seconds(tmp_path: Path) -> None:
    specs = [a_spec(f"p{number:02}") for number in range(25)]
    small = SmallRoster(tmp_path, *specs)
    for spec in specs:
        small.roster.apply(spec.id, events.StartAsked("test"))
        small.spawned(spec.name)
    said: list[str] = []
    Shutdown(small.loop, small.roster, "the end", said.append, lambda: None)
    turn(small)
    assert said == []
    small.pass_time(3)
    turn(small)
    names = ", ".join(f"g:p{number:02}" for number in range(20))
    assert said == [f"waiting for {names} and 5 more to die"]
    for spec in specs[1:]:
        small.exited(spec.name)
    small.pass_time(3)
    turn(small)
    assert said[1:] == ["waiting for g:p00 to die"]
    small.exited("p00")
    turn(small)
    small.pass_time(3)
    turn(small)
    assert len(said) == 2
