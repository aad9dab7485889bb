"""The life of one process: histories as data, and promises kept against a rude keeper."""

import pytest
from fleet_agent.core.events import (
    EVENTS,
    Effect,
    EndTree,
    Event,
    Exited,
    KillTree,
    SendSignal,
    SignalAsked,
    SignalFailed,
    Spawn,
    Spawned,
    SpawnFailed,
    StartAsked,
    Step,
    StopAsked,
    TimerFired,
    TreeEnded,
)
from fleet_agent.core.machine import OUTSTANDING_STATES, TABLE, impossible, resume, transition
from fleet_agent.core.model import (
    Autorestart,
    Exit,
    Now,
    Process,
    ProcessSpec,
    State,
    Timer,
    TimerKind,
)
from fleet_api.errors import Broken

pytestmark = pytest.mark.pure

SPEC = ProcessSpec("web", "web", "run")
START = StartAsked("asked by root: deploy")
STOP = StopAsked("asked by root: repair")
RETRY = TimerFired(TimerKind.RETRY)
KILL = TimerFired(TimerKind.KILL)
STARTED = TimerFired(TimerKind.STARTED)
RESTART = TimerFired(TimerKind.RESTART)


def at(seconds: float) -> Now:
    return Now(1000.0 + seconds, 1.7e9 + seconds)


def born(run: int, seconds: float) -> Spawned:
    return Spawned(run, 100 + run, at(seconds))


def play(spec: ProcessSpec, *history: tuple[float, Event], process: Process | None = None) -> list[Step]:
    process = process or Process()
    steps = []
    for seconds, event in history:
        step = transition(spec, process, event, at(seconds))
        process = step.process
        steps.append(step)
    return steps


def moves(steps: list[Step]) -> list[str]:
    return [f"{move.old}-{move.new}" for step in steps for move in step.moves]


def effects(steps: list[Step]) -> list[Effect]:
    return [effect for step in steps for effect in step.effects]


def test_table_is_total() -> None:
    assert set(TABLE) == {(state, event) for state in State for event in EVENTS}


def test_start_runs_after_startsecs() -> None:
    steps = play(SPEC, (0, START), (0.1, born(1, 0.1)), (1.1, STARTED))
    assert moves(steps) == ["STOPPED-STARTING", "STARTING-RUNNING"]
    assert effects(steps) == [Spawn(1)]
    assert steps[0].moves[0].reason == "asked by root: deploy"
    assert steps[1].process.timer == Timer(TimerKind.STARTED, at(1.1).monotonic)
    assert steps[2].moves[0].reason == "up for more than 1 s (startsecs)"
    assert steps[2].process.pid == 101
    assert steps[2].process.timer is None


def test_startsecs_zero_runs_at_once() -> None:
    steps = play(SPEC._replace(startsecs=0), (0, START), (0.1, born(1, 0.1)))
    assert moves(steps) == ["STOPPED-STARTING", "STARTING-RUNNING"]


def test_a_timer_that_fires_too_early_changes_nothing() -> None:
    steps = play(SPEC, (0, START), (0.1, born(1, 0.1)), (0.9, STARTED))
    assert steps[-1] == Step(steps[-2].process)


def test_unexpected_exit_is_restarted_at_once() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (2, STARTED), (9, Exited(1, Exit(3))))
    last = steps[-1]
    assert moves([last]) == ["RUNNING-EXITED", "EXITED-STARTING"]
    assert [move.reason for move in last.moves] == [
        "exited: exit status 3; not expected",
        "autorestart after exit status 3",
    ]
    assert (last.moves[0].pid, last.moves[0].expected) == (101, False)
    assert last.effects == (Spawn(2),)


@pytest.mark.parametrize(
    ("autorestart", "end", "again"),
    [
        (Autorestart.UNEXPECTED, Exit(0), False),
        (Autorestart.UNEXPECTED, Exit(1), True),
        (Autorestart.UNEXPECTED, Exit(None, 15), True),
        (Autorestart.UNEXPECTED, Exit(), True),
        (Autorestart.ALWAYS, Exit(0), True),
        (Autorestart.NEVER, Exit(1), False),
    ],
)
def test_autorestart(autorestart: Autorestart, end: Exit, again: bool) -> None:
    spec = SPEC._replace(autorestart=autorestart)
    last = play(spec, (0, START), (0, born(1, 0)), (2, STARTED), (9, Exited(1, end)))[-1].process
    assert last.state is (State.STARTING if again else State.EXITED)
    assert last.wanted is again


def test_expected_exit_is_told_and_stays() -> None:
    last = play(SPEC, (0, START), (0, born(1, 0)), (2, STARTED), (9, Exited(1, Exit(0))))[-1].process
    assert last.reason == "exited: exit status 0; expected"
    assert (last.expected_exit, last.spawn_error, last.pid) == (True, "", 0)
    assert last.exit == Exit(0)
    assert last.stopped_wall == at(9).wall


@pytest.mark.parametrize(("end", "text"), [(Exit(3), "Bad exit code 3"), (Exit(None, 9), "Bad exit code -1")])
def test_bad_exit_code(end: Exit, text: str) -> None:
    spec = SPEC._replace(autorestart=Autorestart.NEVER)
    last = play(spec, (0, START), (0, born(1, 0)), (2, STARTED), (9, Exited(1, end)))[-1].process
    assert last.spawn_error == text


def test_death_at_birth_without_startsecs_is_restarted_once_a_second() -> None:
    spec = SPEC._replace(startsecs=0)
    steps = play(spec, (0, START), (0, born(1, 0)), (0.2, Exited(1, Exit(1))), (0.9, RESTART), (1.0, RESTART))
    assert moves(steps) == [
        "STOPPED-STARTING",
        "STARTING-RUNNING",
        "RUNNING-EXITED",
        "EXITED-STARTING",
    ]
    assert steps[2].process.timer == Timer(TimerKind.RESTART, at(1.0).monotonic)
    assert steps[2].process.wanted
    assert steps[4].effects == (Spawn(2),)


def test_stop_calls_off_a_restart_that_was_due() -> None:
    spec = SPEC._replace(startsecs=0)
    steps = play(spec, (0, START), (0, born(1, 0)), (0.2, Exited(1, Exit(1))), (0.3, STOP), (1.0, RESTART))
    assert steps[3].process.state is State.STOPPED
    assert steps[3].process.timer is None
    assert steps[4] == Step(steps[3].process)


def test_end_before_spawned_and_running_were_told() -> None:
    steps = play(SPEC._replace(startsecs=0), (0, START), (5, Exited(1, Exit(0))))
    assert moves(steps) == ["STOPPED-STARTING", "STARTING-RUNNING", "RUNNING-EXITED"]


def test_end_after_startsecs_but_before_the_timer_passes_through_running() -> None:
    last = play(SPEC, (0, START), (0, born(1, 0)), (1.0, Exited(1, Exit(0))))[-1]
    assert moves([last]) == ["STARTING-RUNNING", "RUNNING-EXITED"]


def test_failed_starts_wait_longer_each_time_then_give_up() -> None:
    history: list[tuple[float, Event]] = [(0, START)]
    clock = 0.0
    for run in range(1, 5):
        history += [(clock, born(run, clock)), (clock, Exited(run, Exit(0)))]
        clock += run
        history += [(clock, RETRY)]
    steps = play(SPEC, *history)
    backoffs = [move for step in steps for move in step.moves if move.new is State.BACKOFF]
    assert [move.tries for move in backoffs] == [1, 2, 3, 4]
    assert [effect.run for effect in effects(steps)] == [1, 2, 3, 4]
    last = steps[-1].process
    assert last.state is State.FATAL
    assert last.spawn_error == "Exited too quickly (process log may have details)"
    assert last.exit == Exit(0)
    assert (last.wanted, last.timer) == (False, None)


def test_a_start_from_fatal_counts_anew() -> None:
    spec = SPEC._replace(startretries=0)
    steps = play(spec, (0, START), (0, SpawnFailed(1, "can't find command 'x'")), (5, START))
    assert moves(steps[1:2]) == ["STARTING-BACKOFF", "BACKOFF-FATAL"]
    assert steps[1].process.spawn_error == "can't find command 'x'"
    assert steps[2].process.failures == 0
    assert steps[2].process.spawn_error == ""


def test_stop_in_backoff_is_immediate_and_resets_the_count() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (0.1, Exited(1, Exit(1))), (0.2, STOP))
    assert moves(steps[-1:]) == ["BACKOFF-STOPPED"]
    assert steps[-1].process.failures == 0
    assert not steps[-1].effects


def test_a_retry_keeps_the_count() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (0.1, Exited(1, Exit(1))), (1.1, RETRY))
    assert steps[-1].moves[0].tries == 1
    assert steps[-1].process.failures == 1


def test_stop_signals_then_kills_then_repeats() -> None:
    spec = SPEC._replace(stopsignal=2, stopwaitsecs=3, stopasgroup=True, killasgroup=True)
    steps = play(
        spec,
        (0, START),
        (0, born(1, 0)),
        (2, STARTED),
        (10, STOP),
        (13, KILL),
        (16, KILL),
        (17, Exited(1, Exit(None, 9))),
    )
    assert effects(steps) == [
        Spawn(1),
        SendSignal(1, 2, 1, True),
        SendSignal(1, 9, 2, True),
        KillTree(1),
        SendSignal(1, 9, 3, True),
        KillTree(1),
    ]
    assert moves(steps)[2:] == ["RUNNING-STOPPING", "STOPPING-STOPPED"]
    assert steps[3].moves[0].reason == "asked by root: repair"
    assert steps[-1].process.reason == "stopped: terminated by SIGKILL"
    assert not steps[-1].process.wanted


def test_stop_without_group_signals_the_process_alone() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (5, STOP), (15, KILL))
    assert [effect.to_group for effect in effects(steps) if isinstance(effect, SendSignal)] == [False, False]


def test_stopwaitsecs_zero_does_not_kill_without_pause() -> None:
    spec = SPEC._replace(stopwaitsecs=0)
    last = play(spec, (0, START), (0, born(1, 0)), (5, STOP), (5, KILL))[-1].process
    assert last.timer == Timer(TimerKind.KILL, at(6).monotonic)


def test_stop_before_spawned_is_carried_out_when_it_comes() -> None:
    steps = play(SPEC, (0, START), (0.1, STOP), (0.2, born(1, 0.2)), (0.3, Exited(1, Exit(None, 15))))
    assert steps[1].effects == ()
    assert steps[2].effects == (SendSignal(1, 15, 1, False),)
    assert steps[2].process.timer == Timer(TimerKind.KILL, at(10.2).monotonic)
    assert steps[3].process.state is State.STOPPED


def test_stop_before_a_spawn_that_fails() -> None:
    last = play(SPEC, (0, START), (0.1, STOP), (0.2, SpawnFailed(1, "no")))[-1].process
    assert (last.state, last.timer) == (State.STOPPED, None)


def test_start_during_stopping_follows_the_stop() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (5, STOP), (6, START), (7, Exited(1, Exit(0))))
    assert steps[3].process.state is State.STOPPING
    assert moves(steps[-1:]) == ["STOPPING-STOPPED", "STOPPED-STARTING"]
    assert steps[-1].effects == (Spawn(2),)


def test_a_second_stop_calls_off_the_queued_start() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (5, STOP), (6, START), (6, STOP), (7, Exited(1, Exit(0))))
    assert steps[-1].process.state is State.STOPPED
    assert not steps[-1].effects


def test_start_of_what_runs_changes_nothing() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (2, STARTED), (3, START))
    assert steps[-1] == Step(steps[-2].process)


def test_signal_is_passed_on_with_the_next_ordinal() -> None:
    steps = play(SPEC, (0, START), (0, born(1, 0)), (2, SignalAsked(1)), (3, SignalAsked(10)), (4, STOP))
    assert effects(steps)[1:] == [
        SendSignal(1, 1, 1, False),
        SendSignal(1, 10, 2, False),
        SendSignal(1, 15, 3, False),
    ]


def test_refused_signal_leads_to_unknown_and_its_end_leads_out() -> None:
    history: list[tuple[float, Event]] = [
        (0, START),
        (0, born(1, 0)),
        (2, STARTED),
        (3, SignalFailed(1, "EPERM")),
    ]
    steps = play(SPEC, *history, (9, Exited(1, Exit(1))))
    assert moves(steps[3:]) == ["RUNNING-UNKNOWN", "UNKNOWN-EXITED", "EXITED-STARTING"]
    assert steps[3].process.pid == 101
    assert "EPERM" in steps[3].process.reason
    assert moves(play(SPEC, *history, (4, STOP), (5, Exited(1, Exit(1))))[4:]) == [
        "UNKNOWN-STOPPING",
        "STOPPING-STOPPED",
    ]


def test_refused_stop_calls_off_the_queued_start() -> None:
    steps = play(
        SPEC,
        (0, START),
        (0, born(1, 0)),
        (3, STOP),
        (3, START),
        (4, SignalFailed(1, "EPERM")),
        (9, Exited(1, Exit(1))),
    )
    assert moves(steps[-2:]) == ["STOPPING-UNKNOWN", "UNKNOWN-STOPPED"]


def test_facts_of_another_run_are_dropped() -> None:
    running = play(SPEC, (0, START), (0, born(1, 0)), (2, STARTED), (3, Exited(1, Exit(1))), (3, born(2, 3)))[
        -1
    ]
    for stale in (
        born(1, 9),
        Exited(1, Exit(1)),
        SpawnFailed(1, "x"),
        SignalFailed(1, "x"),
        Exited(3, Exit(0)),
    ):
        assert transition(SPEC, running.process, stale, at(9)) == Step(running.process)


@pytest.mark.parametrize(
    "history",
    [
        [(0, START), (0, born(1, 0))],
        [(0, START), (0, born(1, 0)), (2, STARTED)],
        [(0, START), (0, born(1, 0)), (2, STOP)],
        [(0, START), (0, born(1, 0)), (2, SignalFailed(1, "EPERM"))],
        [(0, START), (0, born(1, 0)), (0, Exited(1, Exit(1)))],
        [(0, START), (0, born(1, 0)), (2, Exited(1, Exit(0)))],
        [(0, START), (0, born(1, 0)), (2, STOP), (3, Exited(1, Exit(0)))],
        [(0, START), (0, SpawnFailed(1, "no"))],
    ],
    ids=["starting", "running", "stopping", "unknown", "backoff", "exited", "stopped", "failed"],
)
def test_a_fact_told_twice_changes_nothing(history: list[tuple[float, Event]]) -> None:
    process = play(SPEC, *history)[-1].process
    for _, fact in history:
        if isinstance(fact, (Spawned, SpawnFailed, Exited, SignalFailed)):
            assert transition(SPEC, process, fact, at(3)) == Step(process)
    if process.state not in OUTSTANDING_STATES:
        late = (born(1, 0), SpawnFailed(1, "no"), Exited(1, Exit(1)), SignalFailed(1, "EPERM"))
        for fact in late:
            assert transition(SPEC, process, fact, at(3)) == Step(process)


def test_what_cannot_be_is_broken() -> None:
    running = play(SPEC, (0, START), (0, born(1, 0)), (2, STARTED))[-1].process
    with pytest.raises(Broken, match="web:web: SpawnFailed in state RUNNING"):
        transition(SPEC, running, SpawnFailed(1, "x"), at(3))
    assert TABLE[State.STOPPED, TimerFired] is impossible


def test_resume_repeats_what_may_be_lost() -> None:
    starting = play(SPEC, (0, START))[-1].process
    assert resume(SPEC, starting, None, at(1)) == Step(starting, (Spawn(1),))
    assert resume(SPEC, starting, 0, at(1)) == Step(starting)
    stopping = play(SPEC, (0, START), (0, born(1, 0)), (2, STOP))[-1].process
    assert resume(SPEC, stopping, 0, at(3)) == Step(stopping, (SendSignal(1, 15, 1, False),))
    spec = SPEC._replace(killasgroup=True)
    killed = play(spec, (12, KILL), process=stopping)[-1].process
    assert resume(spec, killed, 1, at(13)) == Step(killed, (SendSignal(1, 9, 2, True),))
    assert resume(spec, killed, 2, at(13)) == Step(killed), "the keeper has sent it"


def test_resume_of_a_run_that_nobody_holds_ends_it() -> None:
    running = play(SPEC, (0, START), (0, born(1, 0)), (2, STARTED))[-1].process
    step = resume(SPEC, running, None, at(9))
    assert moves([step]) == ["RUNNING-EXITED", "EXITED-STARTING"]
    assert step.moves[0].reason == "exited: exit status unknown; not expected"
    unborn = play(SPEC, (0, START), (0, STOP))[-1].process
    assert resume(SPEC, unborn, None, at(9)).process.state is State.STOPPED
    stopped = Process()
    assert resume(SPEC, stopped, None, at(9)) == Step(stopped)


HAS_LEFT = Exited(1, Exit(0), has_left=True)
IN_STOP: list[tuple[float, Event]] = [(0, START), (0, born(1, 0)), (2, STARTED), (5, STOP), (6, HAS_LEFT)]


def test_a_stop_goes_on_until_the_descendants_are_gone() -> None:
    steps = play(SPEC, *IN_STOP, (7, TreeEnded(1, ended=2)))
    waiting = steps[-2]
    assert waiting.effects == (EndTree(1, 15),)
    assert waiting.moves == ()
    assert waiting.process.timer == Timer(TimerKind.KILL, at(15).monotonic), "the deadline of the stop"
    assert (waiting.process.state, waiting.process.pid) == (State.STOPPING, 0)
    assert waiting.process.reason == "exit status 0; waiting for its descendants"
    assert moves(steps[-1:]) == ["STOPPING-STOPPED"]
    assert steps[-1].process.reason == "stopped: exit status 0; 2 descendants ended after SIGTERM"
    assert steps[-1].process.exit == Exit(0)
    assert steps[-1].process.stopped_wall == at(6).wall


def test_descendants_that_do_not_go_are_killed_at_the_deadline_and_again() -> None:
    steps = play(SPEC, *IN_STOP, (15, KILL), (25, KILL), (26, TreeEnded(1, ended=1, killed=1)))
    assert effects(steps[5:]) == [KillTree(1), KillTree(1)]
    assert steps[5].process.reason == "killed with SIGKILL: SIGTERM did not end its descendants in 10 s"
    assert (
        steps[-1].process.reason
        == "stopped: exit status 0; 1 descendant ended after SIGTERM; 1 descendant killed with SIGKILL"
    )


def test_who_dies_of_sigkill_leaves_nobody() -> None:
    died = Exited(1, Exit(None, 9), has_left=True)
    steps = play(SPEC, *IN_STOP[:-1], (15, KILL), (15, died), (15, TreeEnded(1, killed=3)))
    assert effects(steps[4:]) == [SendSignal(1, 9, 2, False), KillTree(1), EndTree(1, 9)]
    assert steps[-1].process.reason == "stopped: terminated by SIGKILL; 3 descendants killed with SIGKILL"


def test_what_cannot_be_killed_is_told() -> None:
    words = "1 descendant cannot be signalled: Operation not permitted"
    last = play(SPEC, *IN_STOP, (15, TreeEnded(1, remaining=words)))[-1].process
    assert (last.state, last.reason) == (State.STOPPED, f"stopped: exit status 0; {words}")


def test_a_start_asked_for_meanwhile_follows_the_descendants() -> None:
    steps = play(SPEC, *IN_STOP, (7, START), (8, TreeEnded(1)))
    assert not effects(steps[5:6])
    assert moves(steps[-1:]) == ["STOPPING-STOPPED", "STOPPED-STARTING"]


def test_descendants_live_on_where_that_is_wanted_and_where_nobody_stopped() -> None:
    spec = SPEC._replace(stoptree=False)
    assert play(spec, *IN_STOP)[-1].process.state is State.STOPPED
    killed = play(spec, *IN_STOP[:-1], (15, KILL))
    assert effects(killed[-1:]) == [SendSignal(1, 9, 2, False)]
    by_itself = play(SPEC, *IN_STOP[:3], (5, HAS_LEFT))[-1]
    assert by_itself.process.state is State.EXITED
    assert not by_itself.effects


def test_the_end_of_what_could_not_be_signalled_leads_to_its_descendants() -> None:
    refused = (5.5, SignalFailed(1, "EPERM"))
    steps = play(SPEC, *IN_STOP[:-1], refused, (6, HAS_LEFT))
    assert moves(steps[-1:]) == ["UNKNOWN-STOPPING"]
    assert effects(steps[-1:]) == [EndTree(1, 15)]
    assert steps[-1].process.timer == Timer(TimerKind.KILL, at(16).monotonic)


@pytest.mark.parametrize(
    ("state", "history"),
    [
        (State.EXITED, [(5, Exited(1, Exit(0)))]),
        (State.EXITED, [(0.5, Exited(1, Exit(1)))]),
        (State.BACKOFF, []),
        (State.FATAL, []),
        (State.STOPPED, [(5, STOP), (6, Exited(1, Exit(0)))]),
    ],
    ids=["exited", "to be restarted", "backoff", "fatal", "stopped"],
)
def test_a_stop_reaches_what_ended_runs_have_left(state: State, history: list[tuple[float, Event]]) -> None:
    spec = SPEC._replace(startretries=0 if state is State.FATAL else 3)
    begun: list[tuple[float, Event]] = [(0, START), (0, born(1, 0)), (2, STARTED), *history]
    if not history:
        begun = [(0, START), (0, born(1, 0)), (0.5, Exited(1, Exit(3)))]
    elif history[0][0] == 0.5:
        spec = spec._replace(startsecs=0)
        begun = [(0, START), (0, born(1, 0)), *history]
    before = play(spec, *begun)[-1].process
    assert before.state is state
    steps = play(spec, (20, StopAsked("why", has_left=True)), (21, TreeEnded(1, ended=1)), process=before)
    assert moves(steps) == [f"{state}-STOPPING", "STOPPING-STOPPED"]
    assert effects(steps) == [EndTree(1, 15)]
    assert steps[0].process.timer == Timer(TimerKind.KILL, at(30).monotonic)
    assert steps[0].process.stopped_wall == before.stopped_wall, "it ended when it ended"
    assert steps[1].process.reason.endswith("; 1 descendant ended after SIGTERM")
    assert not steps[1].process.wanted
    left_alone = spec._replace(stoptree=False)
    assert not effects(play(left_alone, (20, StopAsked("why", has_left=True)), process=before))


def test_resume_waits_for_descendants_without_asking_them_again() -> None:
    ending = play(SPEC, *IN_STOP)[-1].process
    again = Process.from_state(ending.to_state())
    for signalled in (None, 1):
        assert resume(SPEC, again, signalled, at(7)) == Step(again, (EndTree(1, 0),))
    killing = play(SPEC, (15, KILL), process=again)[-1].process
    assert resume(SPEC, killing, None, at(16)) == Step(killing, (KillTree(1),))
    for fact in (HAS_LEFT, born(1, 0), SignalFailed(1, "EPERM")):
        assert transition(SPEC, again, fact, at(7)) == Step(again)


def test_a_host_that_lacks_something_is_tried_for_ever_and_ever_more_seldom() -> None:
    spec, process, now = SPEC._replace(startretries=1), Process(), Now(100.0, 5000.0)
    process = transition(spec, process, StartAsked("test"), now).process
    pauses = []
    for _ in range(12):
        process = transition(spec, process, SpawnFailed(process.run, "no memory", True), now).process
        assert (process.state, process.failures, process.wanted) == (State.BACKOFF, 0, True)
        assert process.timer is not None and process.timer.kind is TimerKind.RETRY
        pauses.append(process.timer.due - now.monotonic)
        assert process.reason.startswith("no memory; tried again in")
        now = Now(process.timer.due, now.wall + pauses[-1])
        step = transition(spec, process, TimerFired(TimerKind.RETRY), now)
        process = step.process
        assert [type(effect) for effect in step.effects] == [Spawn]
    assert pauses[:6] == [1, 2, 4, 8, 16, 30]
    assert pauses[-1] == 30
    process = transition(spec, process, Spawned(process.run, 7, now), now).process
    assert process.shortages == 0
