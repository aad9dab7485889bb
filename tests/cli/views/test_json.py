"""The JSON schema: its keys are a promise."""

import json as json_text

import pytest
from fakes.process_rows import outcome_row, position_row, process_row
from fleet_cli.answers import Bucket, HostAnswer, HostRecord, Reachability, count
from fleet_cli.views import json

pytestmark = pytest.mark.pure

HOST_KEYS = {
    "host",
    "bucket",
    "error",
    "reachability",
    "behind",
    "position",
    "processes",
    "outcomes",
    "errors",
    "duration_seconds",
    "troubles",
}
PROCESS_KEYS = {
    "name",
    "group",
    "state",
    "pid",
    "run",
    "description",
    "reason",
    "start_time",
    "state_time",
    "stop_time",
    "exit",
    "failures",
    "spawn_error",
    "uptime",
    "stdout_logfile",
    "desire",
    "stderr_logfile",
}
SUMMARY_KEYS = {
    "targets",
    "ok",
    "failed",
    "refused",
    "timed_out",
    "unknown",
    "unreachable",
    "interrupted",
    "exit_code",
}

LOCAL = HostAnswer("web1", Bucket.OK, rows=[process_row("web")], position=position_row())
REMOTE = HostAnswer(
    "web2",
    Bucket.UNREACHABLE,
    error={"code": "NO_ROUTE", "message": "no route", "hint": "look", "class": "Unavailable"},  # type: ignore[arg-type]
    outcomes=[outcome_row("web", "failed", "x", "SPAWN_ERROR")],
    errors=[{"code": "NO_SUCH_PROCESS", "message": "y: no such process", "hint": ""}],
    reachability=Reachability("unreachable", 1790000000.0, 4.5),
    duration_seconds=0.25,
)


def test_document() -> None:
    answers = [LOCAL, REMOTE]
    numbers = json.summary(count(answers), 4)
    document = json_text.loads(json.document("status", "status", answers, numbers))
    assert set(document) == {"schema", "kind", "verb", "operation_id", "hosts", "summary"}
    assert document["schema"] == "fleetctl/v1"
    assert document["operation_id"] is None
    assert set(document["summary"]) == SUMMARY_KEYS
    assert document["summary"] == {
        "targets": 2,
        "ok": 1,
        "failed": 0,
        "refused": 0,
        "timed_out": 0,
        "unknown": 0,
        "unreachable": 1,
        "interrupted": False,
        "exit_code": 4,
    }


def test_local_and_remote_have_the_same_keys() -> None:
    for answer in (LOCAL, REMOTE):
        entry = json.host(answer)
        assert set(entry) == HOST_KEYS
        for process in entry["processes"]:
            assert set(process) == PROCESS_KEYS
        for outcome in entry["outcomes"]:
            assert set(outcome) == {"name", "group", "result", "reason", "error", "process"}
        for error in [entry["error"], *entry["errors"], *(outcome["error"] for outcome in entry["outcomes"])]:
            assert error is None or set(error) == {"code", "message", "hint"}
    assert json.host(REMOTE)["reachability"] == {
        "state": "unreachable",
        "last_seen_time": 1790000000.0,
        "age_seconds": 4.5,
    }


def test_lines_hold_what_the_document_holds() -> None:
    line = json_text.loads(json.record("change", "stop", REMOTE))
    assert set(line) == HOST_KEYS | {"schema", "record", "kind", "verb"}
    last = json_text.loads(json.last_record("change", "stop", json.summary(count([REMOTE]), 4), "op-1"))
    assert set(last) == SUMMARY_KEYS | {"schema", "record", "kind", "verb", "operation_id"}
    assert last["record"] == "summary"
    assert last["operation_id"] == "op-1"


def test_inventory() -> None:
    record = HostRecord("web1", "web1:7601", ["web"], {"os": "deb"}, "0.1.0", Reachability("connected"), None)
    document = json_text.loads(json.inventory([record]))
    assert set(document) == {"schema", "kind", "hosts"}
    assert document["hosts"] == [
        {
            "host": "web1",
            "address": "web1:7601",
            "groups": ["web"],
            "labels": {"os": "deb"},
            "agent_version": "0.1.0",
            "reachability": {"state": "connected", "last_seen_time": None, "age_seconds": None},
            "error": None,
            "gaps": {"number": 0, "last_reason": "", "last_time": None},
        }
    ]
    assert json_text.loads(json.inventory_record(record))["record"] == "inventory"


def test_everything_is_one_line_of_ascii() -> None:
    text = json.document("status", "status", [LOCAL._replace(host="größe\n日本")], {})
    assert text.isascii()
    assert "\n" not in text
