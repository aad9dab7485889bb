"""What the handlers of the machine are made of: a step, one move or one effect further.

Called by `core.machine` alone. Each function takes a step and gives a longer one.
"""

import sys
from typing import Any

from fleet_agent.core.describe import exit_text
from fleet_agent.core.events import EndTree, Move, SendSignal, Spawn, Step
from fleet_agent.core.model import Autorestart, Exit, Now, ProcessSpec, State, Timer, TimerKind

LONGEST_SHORTAGE_PAUSE_SECONDS = 30.0
MIN_RESTART_SECONDS = 1.0
"""The least time between two starts of a process that nobody asked for."""


def move(step: Step, new: State, reason: str, now: Now, **changes: Any) -> Step:
    """The step, one move further."""
    old = step.process
    process = old._replace(state=new, reason=reason, changed_wall=now.wall, **changes)
    move = Move(old.state, process, process.pid or old.pid)
    return Step(process, step.effects, (*step.moves, move))


def launch(step: Step, reason: str, now: Now, failures: int, shortages: int = 0) -> Step:
    """On to STARTING with the next run."""
    run = step.process.run + 1
    moved = move(
        step,
        State.STARTING,
        reason,
        now,
        wanted=True,
        run=run,
        pid=0,
        started=now,
        exit=None,
        failures=failures,
        spawn_error="",
        signals=0,
        timer=None,
        expected_exit=True,
        is_killed=False,
        shortages=shortages,
    )
    return moved._replace(effects=(*moved.effects, Spawn(run)))


def run_up(step: Step, spec: ProcessSpec, now: Now) -> Step:
    """On to RUNNING."""
    reason = (
        f"up for more than {spec.startsecs} s (startsecs)"
        if spec.startsecs > 0
        else "started (startsecs is 0)"
    )
    # Thousands keep it for as long as they run: one text for all.
    reason = sys.intern(reason)
    return move(step, State.RUNNING, reason, now, failures=0, timer=None)


def fail(step: Step, spec: ProcessSpec, reason: str, now: Now, **changes: Any) -> Step:
    """On to BACKOFF after a failed start, and to FATAL when no retry is left."""
    failures = step.process.failures + 1
    retry = Timer(TimerKind.RETRY, now.monotonic + failures)
    step = move(step, State.BACKOFF, reason, now, pid=0, failures=failures, timer=retry, **changes)
    if failures <= spec.startretries:
        return step
    gave_up = f"gave up: too many start retries too quickly ({failures})"
    return move(step, State.FATAL, gave_up, now, wanted=False, timer=None)


def wait_out(step: Step, reason: str, now: Now) -> Step:
    """On to BACKOFF where the host has not what a start takes: it is tried until it has, ever more seldom."""
    shortages = step.process.shortages + 1
    pause = min(LONGEST_SHORTAGE_PAUSE_SECONDS, 2.0 ** (shortages - 1))
    retry = Timer(TimerKind.RETRY, now.monotonic + pause)
    words = f"{reason}; tried again in {pause:.0f} s, and until it can be started"
    return move(step, State.BACKOFF, words, now, pid=0, shortages=shortages, timer=retry, spawn_error=reason)


def end(step: Step, spec: ProcessSpec, end: Exit, now: Now) -> Step:
    """On to EXITED, and to STARTING or its timer when the program is to be started again."""
    expected = end.code in spec.exitcodes
    again = spec.autorestart is Autorestart.ALWAYS or (
        spec.autorestart is Autorestart.UNEXPECTED and not expected
    )
    started = step.process.started
    due = started.monotonic + MIN_RESTART_SECONDS if started else now.monotonic
    pending = Timer(TimerKind.RESTART, due) if again else None
    reason = f"exited: {exit_text(end)}; {'expected' if expected else 'not expected'}"
    step = move(
        step,
        State.EXITED,
        reason,
        now,
        wanted=again,
        pid=0,
        stopped_wall=now.wall,
        exit=end,
        failures=0,
        spawn_error="" if expected else f"Bad exit code {-1 if end.code is None else end.code}",
        timer=pending,
        expected_exit=expected,
    )
    if pending and now.monotonic >= pending.due:
        return launch(step, f"autorestart after {exit_text(end)}", now, failures=0)
    return step


def stopped(step: Step, reason: str, now: Now, **changes: Any) -> Step:
    """On to STOPPED, and on to STARTING when a start was asked for meanwhile."""
    again = step.process.wanted
    step = move(step, State.STOPPED, reason, now, wanted=False, pid=0, failures=0, timer=None, **changes)
    return launch(step, "start asked for during the stop", now, failures=0) if again else step


def signal(step: Step, signal: int, to_group: bool) -> Step:
    """The step with one more signal to the present run."""
    process = step.process._replace(signals=step.process.signals + 1)
    effect = SendSignal(process.run, signal, process.signals, to_group)
    return step._replace(process=process, effects=(*step.effects, effect))


def await_tree(step: Step, spec: ProcessSpec, end: Exit, signal: int, now: Now) -> Step:
    """It has ended within its stop, its descendants not yet: they get `signal` and the same deadline."""
    reason = f"{exit_text(end)}; waiting for its descendants"
    if step.process.state is not State.STOPPING:
        step = move(step, State.STOPPING, reason, now)
    process = step.process._replace(
        pid=0,
        reason=reason,
        stopped_wall=step.process.stopped_wall if step.process.exit else now.wall,
        exit=end,
        expected_exit=end.code in spec.exitcodes,
        timer=step.process.timer or Timer(TimerKind.KILL, now.monotonic + max(0, spec.stopwaitsecs)),
    )
    return step._replace(process=process, effects=(*step.effects, EndTree(process.run, signal)))


def end_left(step: Step, spec: ProcessSpec, reason: str, now: Now) -> Step:
    """A stop of what does not run, for the sake of its descendants."""
    step = move(step, State.STOPPING, reason, now, wanted=False, failures=0, timer=None, is_killed=False)
    return await_tree(step, spec, step.process.exit or Exit(), spec.stopsignal, now)


def send_stop(step: Step, spec: ProcessSpec, now: Now) -> Step:
    """The stop signal, and the timer after which it is not asked but killed."""
    step = signal(step, spec.stopsignal, spec.stopasgroup)
    timer = Timer(TimerKind.KILL, now.monotonic + max(0, spec.stopwaitsecs))
    return step._replace(process=step.process._replace(timer=timer, is_killed=False))
