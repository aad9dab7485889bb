"""How a process is told to people: the words of `status`, of reasons and of the activity log.

Called by `core.machine` for its reasons and by the supervisor for its rows.
"""

from collections.abc import Callable
from typing import NamedTuple

from fleet_api.rows import running_description

from fleet_agent.core.desires import DesireKind
from fleet_agent.core.model import Exit, Now, Process, ProcessSpec, State
from fleet_agent.core.tree import counted

NOT_STARTED = "Not started"

_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT "
    "CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)

# Linux numbers: the standard module that knows the names is not the core's to import.
SIGNAL_NAMES: dict[int, str] = {number: f"SIG{name}" for number, name in enumerate(_SIGNALS.split(), start=1)}
SIGNAL_NAMES |= {34: "SIGRTMIN", 64: "SIGRTMAX"}

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class LocalTime(NamedTuple):
    """The parts of a local time that a description shows."""

    month: int
    day: int
    hour: int
    minute: int


LocalTimeOf = Callable[[float], LocalTime]
"""Turns seconds since the epoch into local time; the shell wraps `time.localtime`."""


def signal_name(number: int) -> str:
    """`SIGTERM`; a number without a name reads `signal 40`."""
    return SIGNAL_NAMES.get(number, f"signal {number}")


def exit_text(end: Exit) -> str:
    """How a run ended: `exit status 1`, `terminated by SIGSEGV (core dumped)`, `exit status unknown`."""
    if end.signal is not None:
        text = f"terminated by {signal_name(end.signal)}" + (" (core dumped)" if end.core_dumped else "")
        return f"{text}: {end.cause}" if end.cause else text
    if end.code is not None:
        return f"exit status {end.code}"
    return "exit status unknown"


def tree_text(ended: int, killed: int, remaining: str, stopsignal: int) -> str:
    """What became of descendants: `2 descendants killed with SIGKILL`; empty when there were none."""
    parts = []
    if ended:
        parts.append(f"{counted(ended)} ended after {signal_name(stopsignal)}")
    if killed:
        parts.append(f"{counted(killed)} killed with SIGKILL")
    if remaining:
        parts.append(remaining)
    return "; ".join(parts)


def stop_time_text(local: LocalTime) -> str:
    """`Nov 21 07:37 PM`, in English whatever the locale."""
    half = "AM" if local.hour < 12 else "PM"
    return f"{_MONTHS[local.month - 1]} {local.day:02} {local.hour % 12 or 12:02}:{local.minute:02} {half}"


def uptime(process: Process, now: Now) -> float | None:
    """Seconds that the present run has lived; None when nothing runs."""
    if not process.pid or process.started is None:
        return None
    return max(0.0, now.monotonic - process.started.monotonic)


def description(process: Process, spec: ProcessSpec, now: Now, localtime: LocalTimeOf) -> str:
    """The last column of `status`; what an operator wants for good stands at its end."""
    words = _description(process, spec, now, localtime)
    desire = process.desire
    if desire is None or not (desire.kind is DesireKind.DISABLED or words == NOT_STARTED):
        return words
    return f"{words}; {desire.words()}" if words else desire.words()


def _description(process: Process, spec: ProcessSpec, now: Now, localtime: LocalTimeOf) -> str:
    if process.state is State.RUNNING:
        return running_description(process.pid, uptime(process, now) or 0.0)
    if process.state in (State.FATAL, State.BACKOFF):
        return process.spawn_error or f'unknown error (try "tail {spec.name}")'
    if process.state in (State.STOPPED, State.EXITED):
        if not process.stopped_wall:
            return NOT_STARTED
        return stop_time_text(localtime(process.stopped_wall))
    return ""
