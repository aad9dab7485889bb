"""Rows of processes as an agent would send them, with what a test does not care about filled in."""

from typing import Any

from fleet_api.rows import OutcomeRow, PositionRow, ProcessRow, running_description


def process_row(name: str, state: str = "RUNNING", group: str | None = None, **fields: Any) -> ProcessRow:
    pid = fields.pop("pid", 180772 if state == "RUNNING" else 0)
    row: dict[str, Any] = {
        "name": name,
        "group": name if group is None else group,
        "state": state,
        "pid": pid,
        "run": 1,
        "description": running_description(pid, 91.4) if state == "RUNNING" else "",
        "reason": "",
        "start_time": 1790000000.0,
        "state_time": 1790000001.0,
        "stop_time": None,
        "exit": None,
        "failures": 0,
        "spawn_error": "",
        "uptime": 91.4 if state == "RUNNING" else None,
        "stdout_logfile": "",
        "stderr_logfile": "",
        "desire": None,
    }
    row.update(fields)
    return row  # type: ignore[return-value]


def outcome_row(
    name: str, result: str = "ok", reason: str = "", code: str = "", group: str | None = None
) -> OutcomeRow:
    return OutcomeRow(
        name=name,
        group=name if group is None else group,
        result=result,
        reason=reason,
        error={"code": code, "message": reason, "hint": ""} if code else None,
        process=process_row(name, group=group),
    )


def position_row(agent_id: str = "web1", sequence: int = 7) -> PositionRow:
    return PositionRow(agent_id=agent_id, incarnation="i1", sequence=sequence)
