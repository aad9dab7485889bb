"""What an operator's verb means for one process: what to do now, and when it is done.

Called by the supervisor's operations: `begin` once per process, then `judge` after every change of it.
"""

from enum import StrEnum
from typing import NamedTuple

from fleet_agent.core.model import RUNNING_STATES, Process, State


class Verb(StrEnum):
    """A change that an operator may ask for."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    SIGNAL = "signal"


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


def begin(verb: Verb, process: Process) -> Beginning:
    """How start, stop and restart begin on a process in this state."""
    if verb is Verb.START:
        if process.state in RUNNING_STATES:
            return Beginning(verdict=Verdict(Result.UNCHANGED, "already started", "ALREADY_STARTED"))
        if process.state is State.UNKNOWN:
            return Beginning(verdict=Verdict(Result.FAILED, "is in an unknown process state", "FAILED"))
        return Beginning(start=True)
    if verb is Verb.STOP:
        if not has_something_to_stop(process):
            return Beginning(verdict=Verdict(Result.UNCHANGED, "not running", "NOT_RUNNING"))
        return Beginning(stop=True)
    return Beginning(stop=has_something_to_stop(process), start=True)


def has_something_to_stop(process: Process) -> bool:
    """Whether the process lives or is going to be started."""
    return process.wanted or process.state in RUNNING_STATES or process.state is State.STOPPING


def has_begun(verb: Verb, process: Process, run_before: int) -> bool:
    """Whether a verb that was asked for when the process had this run has already been acted on."""
    if verb is Verb.STOP:
        return not has_something_to_stop(process)
    return process.run > run_before or (verb is Verb.RESTART and process.state is State.STOPPING)


def judge(verb: Verb, process: Process, run_before: int, was_stopped: bool = False) -> Verdict | None:
    """The verdict once the verb has had its effect; None while there is something to wait for.

    `was_stopped`: the verb began with a stop, so that what it started has been restarted.
    """
    if verb is Verb.STOP:
        return _judge_stop(process)
    if process.run <= run_before:
        # The stop that comes before the start is not over, or nobody wants the start any more.
        return (
            None
            if process.wanted
            else Verdict(Result.FAILED, f"not started: {process.reason}", "ABNORMAL_TERMINATION")
        )
    match process.state:
        case State.RUNNING | State.EXITED:
            return Verdict(Result.OK, RESTARTED if was_stopped else "started")
        case State.BACKOFF | State.FATAL:
            return Verdict(Result.FAILED, process.spawn_error or "spawn error", "SPAWN_ERROR")
        case State.STOPPED | State.UNKNOWN:
            return Verdict(Result.FAILED, f"abnormal termination: {process.reason}", "ABNORMAL_TERMINATION")
        case State.STARTING | State.STOPPING:
            return None


def _judge_stop(process: Process) -> Verdict | None:
    match process.state:
        case State.STOPPED | State.EXITED | State.FATAL:
            if process.wanted:
                return Verdict(Result.FAILED, "started again meanwhile", "ABNORMAL_TERMINATION")
            return Verdict(Result.OK, "stopped")
        case State.STARTING | State.RUNNING | State.BACKOFF:
            return Verdict(Result.FAILED, "started again meanwhile", "ABNORMAL_TERMINATION")
        case State.UNKNOWN:
            return Verdict(Result.FAILED, process.reason, "FAILED")
        case State.STOPPING:
            return None
