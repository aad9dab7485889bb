"""Answers as JSON: one versioned schema for one host and many, for reads and changes, whole or line by line.

Additive only: a key, once released, keeps its name, type and meaning.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from fleet_api.rows import ErrorRow

from fleet_cli.answers import Bucket, HostAnswer, HostRecord, Reachability

SCHEMA = "fleetctl/v1"


def document(
    kind: str, verb: str, answers: Sequence[HostAnswer], summary: Mapping[str, Any], operation_id: str = ""
) -> str:
    """The whole answer. `kind` is status or change."""
    return _dump(
        {
            "schema": SCHEMA,
            "kind": kind,
            "verb": verb,
            "operation_id": operation_id or None,
            "hosts": [host(answer) for answer in answers],
            "summary": dict(summary),
        }
    )


def record(kind: str, verb: str, answer: HostAnswer) -> str:
    """One host as a line of `-o jsonl`."""
    return _dump({"schema": SCHEMA, "record": "host", "kind": kind, "verb": verb, **host(answer)})


def last_record(kind: str, verb: str, summary: Mapping[str, Any], operation_id: str = "") -> str:
    """The line that ends `-o jsonl`."""
    return _dump(
        {
            "schema": SCHEMA,
            "record": "summary",
            "kind": kind,
            "verb": verb,
            "operation_id": operation_id or None,
            **summary,
        }
    )


def summary(counts: Mapping[Bucket, int], exit_code: int, *, is_interrupted: bool = False) -> dict[str, Any]:
    """How many targets ended where, and the exit code that says so."""
    return {
        "targets": sum(counts.values()),
        **{bucket.value: counts[bucket] for bucket in Bucket},
        "interrupted": is_interrupted,
        "exit_code": exit_code,
    }


def host(answer: HostAnswer) -> dict[str, Any]:
    """One host's answer."""
    return {
        "host": answer.host,
        "bucket": answer.bucket.value,
        "error": _error(answer.error),
        "reachability": _reachability(answer.reachability),
        "behind": answer.is_behind,
        "position": answer.position,
        "processes": list(answer.rows),
        "outcomes": [{**row, "error": _error(row["error"])} for row in answer.outcomes],
        "errors": [_error(error) for error in answer.errors],
        "duration_seconds": answer.duration_seconds,
        "troubles": list(answer.troubles),
    }


def inventory(records: Sequence[HostRecord]) -> str:
    """The hosts that the controller knows."""
    return _dump(
        {"schema": SCHEMA, "kind": "hosts", "hosts": [inventory_entry(record) for record in records]}
    )


def inventory_record(record: HostRecord) -> str:
    """One host of the inventory as a line of `-o jsonl`."""
    return _dump({"schema": SCHEMA, "record": "inventory", **inventory_entry(record)})


def inventory_entry(record: HostRecord) -> dict[str, Any]:
    """One host of the inventory."""
    return {
        "host": record.name,
        "address": record.address,
        "groups": list(record.groups),
        "labels": dict(record.labels),
        "agent_version": record.agent_version,
        "reachability": _reachability(record.reachability),
        "error": _error(record.error),
        "gaps": record.gaps._asdict(),
    }


def plain(kind: str, fields: Mapping[str, Any]) -> str:
    """A small document of its own kind."""
    return _dump({"schema": SCHEMA, "kind": kind, **fields})


def _error(error: ErrorRow | None) -> dict[str, str] | None:
    """Without what only one of the two paths carries."""
    return None if error is None else {key: str(error.get(key, "")) for key in ("code", "message", "hint")}


def _reachability(reachability: Reachability | None) -> dict[str, Any] | None:
    return None if reachability is None else reachability._asdict()


def _dump(value: Mapping[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), default=str)
