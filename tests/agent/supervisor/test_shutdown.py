"""Stopping everything goes wave by wave and ends once."""

from pathlib import Path

from fakes.small_roster import SmallRoster, a_spec
from fleet_agent.core import events
from fleet_agent.core.model import Exit, GroupSpec, State
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
