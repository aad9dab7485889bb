"""One host's answer to a change, line for line as supervisorctl prints it."""

from collections.abc import Sequence

from fleet_api.rows import OutcomeRow, display_name

from fleet_cli import programs
from fleet_cli.answers import HostAnswer
from fleet_cli.views.text import paint, shown

_RESTARTED = "restarted"
"""What an agent says of a restart that found something to stop."""

_DONE = {"start": "started", "stop": "stopped", "restart": _RESTARTED, "signal": "signalled"}
_ACCEPTED = {"start": "starting", "stop": "stopping", "restart": "restarting", "signal": "signalled"}
_ALREADY = {"start": "already started", "restart": "already started"}
_WISHED = frozenset({"enable", "disable"})
"""Verbs whose words are the agent's own: what they do depends on `--now`."""

_WORDS = {
    "NO_FILE": "no such file",
    "NOT_EXECUTABLE": "file is not executable",
    "SPAWN_ERROR": "spawn error",
    "ABNORMAL_TERMINATION": "abnormal termination",
    "NOT_RUNNING": "not running",
    "ALREADY_STARTED": "already started",
    "BAD_SIGNAL": "bad signal name",
    "BAD_NAME": "no such process",
    "NO_SUCH_PROCESS": "no such process",
    "DISABLED": "disabled",
    "DESIRE_NOT_KEPT": "cannot be kept",
}


def outcome(verb: str, row: OutcomeRow, *, wait: bool = True) -> str:
    """`started`, `ERROR (already started)` and so on."""
    if row["result"] == "ok":
        if verb == "restart" and wait and row["reason"] != _RESTARTED:
            verb = "start"  # it did not run
        if verb in _WISHED:
            return row["reason"]
        return (_DONE if wait else _ACCEPTED)[verb]
    if row["result"] == "unchanged" and verb not in _WISHED:
        return f"ERROR ({_ALREADY.get(verb, 'not running')})"
    return f"ERROR ({_why(row)})"


def explanation(row: OutcomeRow) -> str:
    """What `outcome` leaves out of the reason of a failure; empty when nothing."""
    error = row["error"]
    if row["result"] not in {"failed", "refused"}:
        # It was done, and there is something to know about that.
        return error["message"] if row["result"] == "ok" and error else ""
    message = error["message"] if error else row["reason"]
    if error and error["hint"]:
        message = f"{message}; {error['hint']}"
    return "" if message == _why(row) else message


def is_listed(row: OutcomeRow, terms: Sequence[str]) -> bool:
    """Whether an outcome has a line: of a whole group, what already was as asked has none."""
    if row["result"] != "unchanged":
        return True
    return programs.is_named(terms, row["group"], row["name"])


def change(
    verb: str, answer: HostAnswer, terms: Sequence[str], has_colour: bool, *, wait: bool = True
) -> str:
    """The lines of one host: terms that match nothing first, then each process in order."""
    lines = [
        paint(shown(programs.missing_line(error["message"])), "red", has_colour) for error in answer.errors
    ]
    listed = [row for row in answer.outcomes if is_listed(row, terms)]
    if verb == "restart" and wait:
        lines += [f"{_name(row)}: stopped" for row in listed if row["reason"] == _RESTARTED]
        verb = "start"
    for row in listed:
        text = outcome(verb, row, wait=wait)
        lines.append(
            f"{_name(row)}: {paint(shown(text), '' if row['result'] == 'ok' else 'red', has_colour)}"
        )
    return "\n".join(lines)


def explanations(answer: HostAnswer) -> list[str]:
    """`name: why` for each failure whose line says less than is known."""
    return [f"{_name(row)}: {shown(why)}" for row in answer.outcomes if (why := explanation(row))]


def _why(row: OutcomeRow) -> str:
    error = row["error"]
    if error and error["code"] in _WORDS:
        return _WORDS[error["code"]]
    return row["reason"] or (error["message"] if error else "") or row["result"]


def _name(row: OutcomeRow) -> str:
    return shown(display_name(row["group"], row["name"]))
