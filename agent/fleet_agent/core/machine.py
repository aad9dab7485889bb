"""One process: what follows from an event, as one total table.

    transition(spec, process, event, now) -> Step(process, effects, moves)

                     start               up for startsecs
      STOPPED ---------------> STARTING ------------------> RUNNING
       ^  ^                    |  ^   ^                       |
       |  |            failed  |  |   | autorestart           | ended by itself
       |  |                    v  |   |                       v
       |  |       stop      BACKOFF   +-------------------- EXITED
       |  +------------------- |      (at most once a second)
       |                       | failures > startretries
       |                       v
       |                     FATAL          EXITED and FATAL leave by a start request
       |
       |  ended
      STOPPING <---- stop ---- STARTING, RUNNING, UNKNOWN
               ----------------------------> UNKNOWN   the kernel refused a signal;
                 also from STARTING, RUNNING           left when the run ends or by a stop

The supervisor is the only caller. It carries out the effects in order, keeps the one timer that
`process.timer` asks for, and tells of each move. A start that is asked for during STOPPING is kept in
`process.wanted` and happens after the stop. `wanted` is true while the process runs or will be started
without a further request; where it is true and nothing lives, a timer is set.

A run is outstanding from its Spawn effect until its Exited or SpawnFailed, in STARTING, RUNNING,
STOPPING and UNKNOWN, and only there; `pid` is 0 until Spawned has come. A stop that finds descendants
left behind stays in STOPPING, with the `exit` of the process and without its `pid`, until TreeEnded: they
get the stop signal, and at the deadline of the stop SIGKILL.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fleet_api.errors import Broken

from fleet_agent.core import steps
from fleet_agent.core.describe import exit_text, signal_name, tree_text
from fleet_agent.core.events import (
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
from fleet_agent.core.model import (
    Exit,
    Now,
    Process,
    ProcessSpec,
    State,
    Timer,
    TimerKind,
)

SIGKILL = 9

MIN_KILL_REPEAT_SECONDS = 1.0

OUTSTANDING_STATES = frozenset({State.STARTING, State.RUNNING, State.STOPPING, State.UNKNOWN})
"""States in which a run has been asked for and its end, or that of its descendants, has not been told."""


def transition(spec: ProcessSpec, process: Process, event: Event, now: Now) -> Step:
    """Decide what follows from an event.

    Facts about another run than the present one, and timers that are not the process's own or not
    yet due, change nothing.
    Raises: Broken for what cannot be.
    """
    if (
        isinstance(event, (Spawned, SpawnFailed, Exited, TreeEnded, SignalFailed))
        and event.run != process.run
    ):
        return Step(process)
    if isinstance(event, TimerFired):
        timer = process.timer
        if timer is None or timer.kind is not event.kind or now.monotonic < timer.due:
            return Step(process)
    return TABLE[process.state, type(event)](spec, process, event, now)


def resume(spec: ProcessSpec, process: Process, signalled: int | None, now: Now) -> Step:
    """Go on with a process where the last supervisor ended; its timer stands as it is.

    `signalled`: the keeper holds the present run and has sent it so many signals; None when it does not
    hold it. What was decided and not carried out is asked for again, a signal with its old ordinal. A run
    that nobody holds has ended in a way that nobody can know.
    """
    if process.state not in OUTSTANDING_STATES:
        return Step(process)
    if process.is_ending_tree:
        # Who was asked to end is not asked twice: many take that for an order to hurry.
        effect = KillTree(process.run) if process.is_killed else EndTree(process.run, 0)
        return Step(process, (effect,))
    if signalled is not None:
        if process.state is State.STOPPING and process.pid and process.signals > signalled:
            signal, to_group = (
                (SIGKILL, spec.killasgroup) if process.is_killed else (spec.stopsignal, spec.stopasgroup)
            )
            return Step(process, (SendSignal(process.run, signal, process.signals, to_group),))
        return Step(process)
    if process.pid:
        return transition(spec, process, Exited(process.run, Exit()), now)
    if process.state is State.STARTING:
        return Step(process, (Spawn(process.run),))
    return transition(spec, process, SpawnFailed(process.run, "the agent was replaced before it lived"), now)


# ----------------------------------------------------------------------------------------- handlers

# The event's type differs from cell to cell, which a mapping's value type cannot say.
Handler = Callable[[ProcessSpec, Process, Any, Now], Step]


def ignore(_spec: ProcessSpec, process: Process, _event: Event, _now: Now) -> Step:
    """Nothing follows."""
    return Step(process)


def impossible(spec: ProcessSpec, process: Process, event: Event, _now: Now) -> Step:
    """Cannot be.

    Raises: Broken.
    """
    raise Broken("IMPOSSIBLE_EVENT", f"{spec.id}: {type(event).__name__} in state {process.state}")


def start(_spec: ProcessSpec, process: Process, event: StartAsked, now: Now) -> Step:
    """Start it at once."""
    return steps.launch(Step(process), event.reason, now, failures=0)


def start_after_stop(_spec: ProcessSpec, process: Process, _event: StartAsked, _now: Now) -> Step:
    """Remember that it is wanted."""
    return Step(process._replace(wanted=True))


def forget(_spec: ProcessSpec, process: Process, _event: StopAsked, _now: Now) -> Step:
    """It is not wanted, and on its way to an end."""
    return Step(process._replace(wanted=False))


def end_left(spec: ProcessSpec, process: Process, event: StopAsked, now: Now) -> Step:
    """It is not running; what it has left is ended."""
    if event.has_left and spec.stoptree:
        return steps.end_left(Step(process), spec, event.reason, now)
    return Step(process._replace(wanted=False))


def stop(spec: ProcessSpec, process: Process, event: StopAsked, now: Now) -> Step:
    """Signal it; where its pid is not yet known, when that comes."""
    step = steps.move(Step(process), State.STOPPING, event.reason, now, wanted=False, failures=0, timer=None)
    return steps.send_stop(step, spec, now) if process.pid else step


def call_off(spec: ProcessSpec, process: Process, event: StopAsked, now: Now) -> Step:
    """Call off the start that was due; nothing runs but what it may have left."""
    if process.timer is None or (event.has_left and spec.stoptree):
        return end_left(spec, process, event, now)
    return steps.stopped(Step(process._replace(wanted=False)), event.reason, now)


def signal_it(_spec: ProcessSpec, process: Process, event: SignalAsked, _now: Now) -> Step:
    """Pass the signal on; a run whose Spawned is outstanding is known to the keeper already."""
    return steps.signal(Step(process), event.signal, to_group=False)


def spawned(spec: ProcessSpec, process: Process, event: Spawned, now: Now) -> Step:
    """It lives: wait for startsecs."""
    if process.pid:
        return Step(process)
    timer = Timer(TimerKind.STARTED, event.at.monotonic + spec.startsecs)
    step = Step(process._replace(pid=event.pid, started=event.at, timer=timer, shortages=0))
    return steps.run_up(step, spec, now) if spec.startsecs <= 0 else step


def spawned_to_stop(spec: ProcessSpec, process: Process, event: Spawned, now: Now) -> Step:
    """It lives, and a stop was asked for in the meantime."""
    if process.pid or process.is_ending_tree:
        return Step(process)
    return steps.send_stop(Step(process._replace(pid=event.pid, started=event.at)), spec, now)


def spawned_unknown(_spec: ProcessSpec, process: Process, event: Spawned, _now: Now) -> Step:
    """It lives; that it cannot be signalled is known already."""
    return Step(process if process.pid else process._replace(pid=event.pid, started=event.at))


def spawn_failed(spec: ProcessSpec, process: Process, event: SpawnFailed, now: Now) -> Step:
    """Try again later; where it is the host's fault, as long as it takes."""
    if process.pid:
        return impossible(spec, process, event, now)
    if event.is_shortage:
        return steps.wait_out(Step(process), event.error, now)
    return steps.fail(Step(process), spec, event.error, now, spawn_error=event.error)


def stop_before_birth(spec: ProcessSpec, process: Process, event: SpawnFailed, now: Now) -> Step:
    """It was to be stopped and never lived."""
    if process.pid:
        return impossible(spec, process, event, now)
    return steps.stopped(Step(process), f"never lived: {event.error}", now, spawn_error=event.error)


def unknown_failed(spec: ProcessSpec, process: Process, event: SpawnFailed, now: Now) -> Step:
    """It never lived, so there was nothing to signal."""
    return (spawn_failed if process.wanted else stop_before_birth)(spec, process, event, now)


def exited_starting(spec: ProcessSpec, process: Process, event: Exited, now: Now) -> Step:
    """A failed start; or, when it was up long enough, a life so short that RUNNING was not yet told."""
    up_seconds = now.monotonic - process.started.monotonic if process.started else 0.0
    if spec.startsecs <= 0 or up_seconds >= spec.startsecs:
        return steps.end(steps.run_up(Step(process), spec, now), spec, event.exit, now)
    return steps.fail(
        Step(process),
        spec,
        f"exited too quickly: {exit_text(event.exit)}",
        now,
        stopped_wall=now.wall,
        exit=event.exit,
        spawn_error="Exited too quickly (process log may have details)",
        expected_exit=False,
    )


def exited_running(spec: ProcessSpec, process: Process, event: Exited, now: Now) -> Step:
    """It ended by itself."""
    return steps.end(Step(process), spec, event.exit, now)


def exited_stopping(spec: ProcessSpec, process: Process, event: Exited, now: Now) -> Step:
    """The stop is complete, unless descendants are left."""
    if process.is_ending_tree:
        return Step(process)
    end = event.exit
    if event.has_left and spec.stoptree:
        signal = SIGKILL if process.is_killed else spec.stopsignal
        return steps.await_tree(Step(process), spec, end, signal, now)
    return steps.stopped(
        Step(process),
        f"stopped: {exit_text(end)}",
        now,
        stopped_wall=now.wall,
        exit=end,
        expected_exit=end.code in spec.exitcodes,
    )


def tree_ended(spec: ProcessSpec, process: Process, event: TreeEnded, now: Now) -> Step:
    """The stop is complete."""
    if process.exit is None:
        return Step(process)
    more = tree_text(event.ended, event.killed, event.remaining, spec.stopsignal)
    reason = f"stopped: {exit_text(process.exit)}" + (f"; {more}" if more else "")
    return steps.stopped(Step(process), reason, now)


def exited_unknown(spec: ProcessSpec, process: Process, event: Exited, now: Now) -> Step:
    """It ended after all: by itself, unless a stop was asked for before."""
    ended = exited_running if process.wanted else exited_stopping
    return ended(spec, process, event, now)


def signal_failed(_spec: ProcessSpec, process: Process, event: SignalFailed, now: Now) -> Step:
    """Nobody can say what it does now; its end would tell."""
    return steps.move(Step(process), State.UNKNOWN, f"cannot be signalled: {event.error}", now, timer=None)


def stop_failed(_spec: ProcessSpec, process: Process, event: SignalFailed, now: Now) -> Step:
    """The stop did not work, and the start that was to follow it is called off."""
    if process.is_ending_tree:
        return Step(process)
    reason = f"cannot be stopped: {event.error}"
    return steps.move(Step(process), State.UNKNOWN, reason, now, wanted=False, timer=None)


def up_long_enough(spec: ProcessSpec, process: Process, _event: TimerFired, now: Now) -> Step:
    """It has stayed up for startsecs."""
    return steps.run_up(Step(process), spec, now)


def retry(_spec: ProcessSpec, process: Process, _event: TimerFired, now: Now) -> Step:
    """The pause after a failed start is over."""
    failures, shortages = process.failures, process.shortages
    reason = "tried again after a shortage" if shortages else f"retry {failures}"
    return steps.launch(Step(process), reason, now, failures, shortages)


def restart(_spec: ProcessSpec, process: Process, _event: TimerFired, now: Now) -> Step:
    """The last start is long enough ago."""
    end = exit_text(process.exit or Exit())
    return steps.launch(Step(process), f"autorestart after {end}", now, failures=0)


def kill(spec: ProcessSpec, process: Process, _event: TimerFired, now: Now) -> Step:
    """It did not stop in time, or its descendants did not."""
    whom = "its descendants" if process.is_ending_tree else "it"
    reason = (
        f"killed with SIGKILL: {signal_name(spec.stopsignal)} did not end {whom} in {spec.stopwaitsecs} s"
    )
    step = Step(process)
    if not process.is_ending_tree:
        step = steps.signal(step, SIGKILL, spec.killasgroup)
    if spec.stoptree:
        step = step._replace(effects=(*step.effects, KillTree(process.run)))
    due = now.monotonic + max(MIN_KILL_REPEAT_SECONDS, spec.stopwaitsecs)
    timer = Timer(TimerKind.KILL, due)
    return step._replace(process=step.process._replace(reason=reason, timer=timer, is_killed=True))


# -------------------------------------------------------------------------------------------- table

_S = State

TABLE: Mapping[tuple[State, type[Event]], Handler] = {
    (_S.STOPPED, StartAsked): start,
    (_S.STOPPED, StopAsked): end_left,
    (_S.STOPPED, SignalAsked): ignore,
    (_S.STOPPED, Spawned): ignore,
    (_S.STOPPED, SpawnFailed): ignore,
    (_S.STOPPED, Exited): ignore,
    (_S.STOPPED, TreeEnded): ignore,
    (_S.STOPPED, SignalFailed): ignore,
    (_S.STOPPED, TimerFired): impossible,
    (_S.STARTING, StartAsked): ignore,
    (_S.STARTING, StopAsked): stop,
    (_S.STARTING, SignalAsked): signal_it,
    (_S.STARTING, Spawned): spawned,
    (_S.STARTING, SpawnFailed): spawn_failed,
    (_S.STARTING, Exited): exited_starting,
    (_S.STARTING, TreeEnded): ignore,
    (_S.STARTING, SignalFailed): signal_failed,
    (_S.STARTING, TimerFired): up_long_enough,
    (_S.RUNNING, StartAsked): ignore,
    (_S.RUNNING, StopAsked): stop,
    (_S.RUNNING, SignalAsked): signal_it,
    (_S.RUNNING, Spawned): ignore,
    (_S.RUNNING, SpawnFailed): impossible,
    (_S.RUNNING, Exited): exited_running,
    (_S.RUNNING, TreeEnded): ignore,
    (_S.RUNNING, SignalFailed): signal_failed,
    (_S.RUNNING, TimerFired): impossible,
    (_S.BACKOFF, StartAsked): ignore,
    (_S.BACKOFF, StopAsked): call_off,
    (_S.BACKOFF, SignalAsked): ignore,
    (_S.BACKOFF, Spawned): ignore,
    (_S.BACKOFF, SpawnFailed): ignore,
    (_S.BACKOFF, Exited): ignore,
    (_S.BACKOFF, TreeEnded): ignore,
    (_S.BACKOFF, SignalFailed): ignore,
    (_S.BACKOFF, TimerFired): retry,
    (_S.STOPPING, StartAsked): start_after_stop,
    (_S.STOPPING, StopAsked): forget,
    (_S.STOPPING, SignalAsked): signal_it,
    (_S.STOPPING, Spawned): spawned_to_stop,
    (_S.STOPPING, SpawnFailed): stop_before_birth,
    (_S.STOPPING, Exited): exited_stopping,
    (_S.STOPPING, TreeEnded): tree_ended,
    (_S.STOPPING, SignalFailed): stop_failed,
    (_S.STOPPING, TimerFired): kill,
    (_S.EXITED, StartAsked): start,
    (_S.EXITED, StopAsked): call_off,
    (_S.EXITED, SignalAsked): ignore,
    (_S.EXITED, Spawned): ignore,
    (_S.EXITED, SpawnFailed): ignore,
    (_S.EXITED, Exited): ignore,
    (_S.EXITED, TreeEnded): ignore,
    (_S.EXITED, SignalFailed): ignore,
    (_S.EXITED, TimerFired): restart,
    (_S.FATAL, StartAsked): start,
    (_S.FATAL, StopAsked): end_left,
    (_S.FATAL, SignalAsked): ignore,
    (_S.FATAL, Spawned): ignore,
    (_S.FATAL, SpawnFailed): ignore,
    (_S.FATAL, Exited): ignore,
    (_S.FATAL, TreeEnded): ignore,
    (_S.FATAL, SignalFailed): ignore,
    (_S.FATAL, TimerFired): impossible,
    (_S.UNKNOWN, StartAsked): ignore,
    (_S.UNKNOWN, StopAsked): stop,
    (_S.UNKNOWN, SignalAsked): ignore,
    (_S.UNKNOWN, Spawned): spawned_unknown,
    (_S.UNKNOWN, SpawnFailed): unknown_failed,
    (_S.UNKNOWN, Exited): exited_unknown,
    (_S.UNKNOWN, TreeEnded): ignore,
    (_S.UNKNOWN, SignalFailed): ignore,
    (_S.UNKNOWN, TimerFired): impossible,
}
