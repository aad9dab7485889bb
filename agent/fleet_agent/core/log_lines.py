"""The activity log's line for each thing that happens to a process, in the words of supervisord.

Called by the supervisor for every spawn, move and signal.
"""

from typing import NamedTuple

from fleet_api.rows import display_name

from fleet_agent.core.describe import exit_text, signal_name
from fleet_agent.core.events import EndTree, KillTree, SendSignal
from fleet_agent.core.model import Exit, Process, ProcessSpec, State

CRITICAL = 50
WARN = 30
INFO = 20
DEBUG = 10

_SIGKILL = 9


class LogLine(NamedTuple):
    """One line with its level (supervisord's numbers)."""

    level: int
    text: str


def spawned_line(spec: ProcessSpec, pid: int) -> LogLine:
    """A run lives."""
    return LogLine(INFO, f"spawned: '{display_name(spec.group, spec.name)}' with pid {pid}")


def adopted_line(spec: ProcessSpec, pid: int) -> LogLine:
    """A run was found alive that nobody here had started."""
    return LogLine(INFO, f"adopted: '{display_name(spec.group, spec.name)}' with pid {pid}")


def signal_line(spec: ProcessSpec, process: Process, effect: SendSignal) -> LogLine:
    """A signal is sent: by an operator, to stop it, or at last to kill it."""
    name = display_name(spec.group, spec.name)
    word = signal_name(effect.signal)
    if process.state is not State.STOPPING:
        return LogLine(DEBUG, f"sending {name} (pid {process.pid}) sig {word}")
    if effect.signal == _SIGKILL and effect.ordinal > 1:
        return LogLine(WARN, f"killing '{name}' ({process.pid}) with SIGKILL")
    group = "process group " if effect.to_group else ""
    return LogLine(DEBUG, f"killing {name} (pid {process.pid}) {group}with signal {word}")


def tree_line(spec: ProcessSpec, effect: EndTree | KillTree) -> LogLine:
    """The descendants are asked to end, waited for, or killed."""
    name = display_name(spec.group, spec.name)
    if isinstance(effect, KillTree):
        return LogLine(WARN, f"killing the descendants of '{name}' (run {effect.run}) with SIGKILL")
    how = f" to end with {signal_name(effect.signal)}" if effect.signal else ""
    return LogLine(DEBUG, f"looking for descendants of {name} (run {effect.run}){how}")


def move_line(spec: ProcessSpec, old: str, process: Process) -> LogLine | None:
    """What is said of a move; None for one that another line tells already, and where nothing moved."""
    if old == process.state:
        return None
    name = display_name(spec.group, spec.name)
    how = exit_text(process.exit or Exit())
    match process.state:
        case State.RUNNING:
            return LogLine(
                INFO,
                f"success: {name} entered RUNNING state, process has stayed up for > than "
                f"{spec.startsecs} seconds (startsecs)",
            )
        case State.BACKOFF if process.exit is not None:
            return LogLine(WARN, f"exited: {name} ({how}; not expected)")
        case State.BACKOFF if process.shortages:
            return None  # one word about all that the host cannot start: see `troubles`
        case State.BACKOFF:
            return LogLine(INFO, f"spawnerr: {process.spawn_error}")
        case State.FATAL:
            return LogLine(INFO, f"gave up: {name} entered FATAL state, too many start retries too quickly")
        case State.EXITED if process.expected_exit:
            return LogLine(INFO, f"exited: {name} ({how}; expected)")
        case State.EXITED:
            return LogLine(WARN, f"exited: {name} ({how}; not expected)")
        case State.STOPPED if old == State.STOPPING and process.exit is None:
            return LogLine(INFO, f"spawnerr: {process.spawn_error}")
        case State.STOPPED if old == State.STOPPING:
            _, semicolon, descendants = process.reason.partition("; ")
            text = f"stopped: {name} ({how}{semicolon}{descendants})"
            return LogLine(INFO if process.expected_exit else WARN, text)
        case State.UNKNOWN:
            return LogLine(CRITICAL, f"unknown problem killing {name} ({process.pid}): {process.reason}")
        case _:
            return None
