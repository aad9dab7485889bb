"""The activity log's line for each move of a process, in the words of supervisord."""

from typing import NamedTuple

from fleet_api.rows import display_name

from fleet_agent.core.describe import exit_text
from fleet_agent.core.model import Exit, Process, ProcessSpec, State

WARN = 30
INFO = 20


class LogLine(NamedTuple):
    """One line with its level (supervisord's numbers)."""

    level: int
    text: str


def spawned_line(spec: ProcessSpec, pid: int) -> LogLine:
    """A run lives."""
    return LogLine(INFO, f"spawned: '{display_name(spec.group, spec.name)}' with pid {pid}")


def move_line(spec: ProcessSpec, old: str, process: Process) -> LogLine | None:
    """What is said of a move; None for those that another line tells already."""
    name = display_name(spec.group, spec.name)
    how = exit_text(process.exit or Exit())
    match process.state:
        case State.RUNNING if old == State.STARTING:
            return LogLine(
                INFO,
                f"success: {name} entered RUNNING state, process has stayed up for > than "
                f"{spec.startsecs} seconds (startsecs)",
            )
        case State.BACKOFF if process.exit is not None:
            return LogLine(WARN, f"exited: {name} ({how}; not expected)")
        case State.BACKOFF:
            return LogLine(INFO, f"spawnerr: {process.spawn_error}")
        case State.FATAL:
            return LogLine(INFO, f"gave up: {name} entered FATAL state, too many start retries too quickly")
        case State.EXITED if process.expected_exit:
            return LogLine(INFO, f"exited: {name} ({how}; expected)")
        case State.EXITED:
            return LogLine(WARN, f"exited: {name} ({how}; not expected)")
        case State.STOPPED if old == State.STOPPING:
            return LogLine(INFO if process.expected_exit else WARN, f"stopped: {name} ({how})")
        case State.STOPPING if old == State.STOPPING and process.signals > 1:
            return LogLine(WARN, f"killing '{name}' ({process.pid}) with SIGKILL")
        case State.UNKNOWN:
            return LogLine(WARN, f"{name}: {process.reason}")
        case _:
            return None
