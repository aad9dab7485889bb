"""What an operator's verb means for one process: what to do now, and when it is done.

Called by the supervisor's operations: `begin` once per process, then `judge` after every change of it.
"""

from enum import StrEnum
from typing import NamedTuple

from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.core.model import RUNNING_STATES, Process, ProcessSpec, State


class Verb(StrEnum):
    """A change that an operator may ask for."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    SIGNAL = "signal"
    ENABLE = "enable"
    DISABLE = "disable"


WISHING = frozenset({Verb.ENABLE, Verb.DISABLE})
"""Verbs that say what is wanted for good, and do no more unless asked to do it now."""

STOPPING = frozenset({Verb.STOP, Verb.DISABLE})
"""Verbs that wait for an end, where they wait at all; the others wait for a life."""

RESTARTED = "restarted"
"""The reason of a restart that found something to stop; fleetctl tells the two apart by it."""


class Result(StrEnum):
    """What became of a verb on one process."""

    OK = "ok"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    REFUSED = "refused"


class Verdict(NamedTuple):
    """The end of a verb on one process. `code` is stable, for machines; empty when nothing is wrong."""

    result: Result
    reason: str
    code: str = ""


class Beginning(NamedTuple):
    """What to ask of the process now; a verdict when there is nothing to wait for."""

    stop: bool = False
    start: bool = False
    verdict: Verdict | None = None


def desire_after(verb: Verb, before: Desire | None, new: Desire) -> Desire | None:
    """What is wanted for good after a verb; `new` tells who asks, why and when.

    A stop lasts until the next start, a `disable` until the `enable`. Who has stopped or disabled it first
    is who did it.
    """
    match verb:
        case Verb.STOP:
            return before or new._replace(kind=DesireKind.STOPPED)
        case Verb.DISABLE:
            return before if is_disabled(before) else new._replace(kind=DesireKind.DISABLED)
        case Verb.START | Verb.RESTART:
            return before if is_disabled(before) else None
        case Verb.ENABLE:
            return None
        case Verb.SIGNAL:
            return before


def is_disabled(desire: Desire | None) -> bool:
    """Whether nothing but `enable` lets it be started."""
    return desire is not None and desire.kind is DesireKind.DISABLED


def may_autostart(spec: ProcessSpec, process: Process) -> bool:
    """Whether a process starts with the agent: it has never changed, and no operator is against it."""
    return spec.autostart and not process.changed_wall and process.desire is None


def begin(
    verb: Verb,
    process: Process,
    *,
    now: bool = False,
    before: Desire | None = None,
    has_left: bool = False,
) -> Beginning:
    """How a verb other than signal begins on a process in this state.

    `now`: disable stops as well, enable starts. `before` is the wish that the verb has found;
    `has_left`: descendants of a run that has ended live on.
    """
    has_anything = has_left or has_something_to_stop(process) or _may_live(process)
    match verb:
        case Verb.START | Verb.RESTART if before is not None and is_disabled(before):
            return Beginning(verdict=Verdict(Result.REFUSED, before.words(), "DISABLED"))
        case Verb.START:
            return _begin_start(process)
        case Verb.STOP:
            if not has_anything:
                return Beginning(verdict=Verdict(Result.UNCHANGED, "not running", "NOT_RUNNING"))
            return Beginning(stop=True)
        case Verb.DISABLE if now and has_anything:
            return Beginning(stop=True)
        case Verb.DISABLE if before is not None and is_disabled(before):
            return Beginning(
                verdict=Verdict(Result.UNCHANGED, f"already {before.words()}", "ALREADY_DISABLED")
            )
        case Verb.DISABLE:
            return Beginning(verdict=Verdict(Result.OK, "disabled"))
        case Verb.ENABLE if now and process.state not in RUNNING_STATES:
            return _begin_start(process)
        case Verb.ENABLE if before is not None:
            return Beginning(verdict=Verdict(Result.OK, "enabled"))
        case Verb.ENABLE:
            return Beginning(verdict=Verdict(Result.UNCHANGED, "not disabled", "NOT_DISABLED"))
    return Beginning(stop=has_anything, start=True)


def _begin_start(process: Process) -> Beginning:
    if process.state in RUNNING_STATES:
        return Beginning(verdict=Verdict(Result.UNCHANGED, "already started", "ALREADY_STARTED"))
    if process.state is State.UNKNOWN:
        return Beginning(verdict=Verdict(Result.FAILED, "is in an unknown process state", "FAILED"))
    return Beginning(start=True)


def has_something_to_stop(process: Process) -> bool:
    """Whether the process lives or is going to be started."""
    return process.wanted or process.state in RUNNING_STATES or process.state is State.STOPPING


def _may_live(process: Process) -> bool:
    """Whether it has refused a signal or a stop: another stop may find it willing."""
    return process.state is State.UNKNOWN and process.pid > 0


def has_begun(verb: Verb, process: Process, run_before: int) -> bool:
    """Whether a verb that was asked for when the process had this run has already been acted on."""
    if verb in STOPPING:
        return not has_something_to_stop(process)
    return process.run > run_before or (verb is Verb.RESTART and process.state is State.STOPPING)


def judge(verb: Verb, process: Process, run_before: int, was_stopped: bool = False) -> Verdict | None:
    """The verdict once the verb has had its effect; None while there is something to wait for.

    `was_stopped`: the verb began with a stop, so that what it started has been restarted.
    """
    if verb in STOPPING:
        return _judge_stop(verb, process)
    if process.run <= run_before:
        # The stop that comes before the start is not over, or nobody wants the start any more.
        return (
            None
            if process.wanted
            else Verdict(Result.FAILED, f"not started: {process.reason}", "ABNORMAL_TERMINATION")
        )
    match process.state:
        case State.RUNNING | State.EXITED:
            if verb is Verb.ENABLE:
                return Verdict(Result.OK, "enabled and started")
            return Verdict(Result.OK, RESTARTED if was_stopped else "started")
        case State.BACKOFF | State.FATAL:
            return Verdict(Result.FAILED, process.spawn_error or "spawn error", "SPAWN_ERROR")
        case State.STOPPED | State.UNKNOWN:
            return Verdict(Result.FAILED, f"abnormal termination: {process.reason}", "ABNORMAL_TERMINATION")
        case State.STARTING | State.STOPPING:
            return None


def _judge_stop(verb: Verb, process: Process) -> Verdict | None:
    match process.state:
        case State.STOPPED | State.EXITED | State.FATAL:
            if process.wanted:
                return Verdict(Result.FAILED, "started again meanwhile", "ABNORMAL_TERMINATION")
            return Verdict(Result.OK, "stopped" if verb is Verb.STOP else "disabled and stopped")
        case State.STARTING | State.RUNNING | State.BACKOFF:
            return Verdict(Result.FAILED, "started again meanwhile", "ABNORMAL_TERMINATION")
        case State.UNKNOWN:
            return Verdict(Result.FAILED, process.reason, "FAILED")
        case State.STOPPING:
            return None
