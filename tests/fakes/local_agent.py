"""Handlers for a fake door that make it answer like an agent with a few processes."""

from collections.abc import Sequence
from typing import Any

from fakes.door import Conversation, Handler
from fakes.process_rows import position_row, process_row
from fleet_api.frames import Frame
from fleet_api.rows import OutcomeRow, ProcessRow

ROWS = [
    process_row("web_01", group="web", pid=12),
    process_row("web_00", group="web", pid=11),
    process_row("hello_world"),
]


def missing(term: str) -> dict[str, str]:
    return {
        "class": "NotFound",
        "code": "NO_SUCH_PROCESS",
        "message": f"{term}: no such process",
        "hint": "fleetctl status shows all processes",
    }


def answers_status(rows: Sequence[ProcessRow] = ROWS, errors: Sequence[dict[str, str]] = ()) -> Handler:
    def answer(talk: Conversation, request: Frame) -> None:
        talk.ok(request, position=position_row(), now=0.0, processes=list(rows), errors=list(errors))

    return answer


def answers_operate(*outcomes: OutcomeRow, errors: Sequence[dict[str, str]] = ()) -> Handler:
    def answer(talk: Conversation, request: Frame) -> None:
        talk.ok(request, **operation(request, *outcomes, errors=errors))

    return answer


def operation(request: Frame, *outcomes: OutcomeRow, errors: Sequence[dict[str, str]] = ()) -> dict[str, Any]:
    return {
        "operation_id": request["context"]["operation_id"],
        "outcomes": list(outcomes),
        "errors": list(errors),
        "position": position_row(),
        "replayed": False,
    }


def answers_hello(talk: Conversation, request: Frame) -> None:
    talk.ok(request, version="0.1.0", host_id="web1", pid=4711, supervisor_pid=4712, gateway_pid=4713)
