"""A process as the door and the gateway show it."""

import time

from fleet_api.rows import DesireRow, ProcessRow

from fleet_agent.core.describe import LocalTime, description, uptime
from fleet_agent.core.desires import Desire
from fleet_agent.core.model import Now, Process, ProcessSpec


def to_row(spec: ProcessSpec, process: Process, now: Now) -> ProcessRow:
    """The row of one process at this moment."""
    return {
        "name": spec.name,
        "group": spec.group,
        "state": process.state.value,
        "pid": process.pid,
        "run": process.run,
        "description": description(process, spec, now, local_time),
        "reason": process.reason,
        "start_time": process.started.wall if process.started else None,
        "state_time": process.changed_wall or None,
        "stop_time": process.stopped_wall or None,
        "exit": (
            {"code": process.exit.code, "signal": process.exit.signal, "core": process.exit.core_dumped}
            if process.exit
            else None
        ),
        "failures": process.failures,
        "spawn_error": process.spawn_error,
        "uptime": uptime(process, now),
        "stdout_logfile": spec.stdout.path,
        "stderr_logfile": "" if spec.redirect_stderr else spec.stderr.path,
        "desire": _desire_row(process.desire),
    }


def _desire_row(desire: Desire | None) -> DesireRow | None:
    if desire is None:
        return None
    return {
        "kind": desire.kind.value,
        "actor": desire.actor,
        "reason": desire.reason,
        "time": desire.wall,
        "operation_id": desire.operation_id,
    }


def local_time(wall: float) -> LocalTime:
    """Seconds since the epoch in the time zone of the agent."""
    parts = time.localtime(wall)
    return LocalTime(parts.tm_mon, parts.tm_mday, parts.tm_hour, parts.tm_min)
