"""The agent of this host, through its door: answers in, answers out. Imports no gRPC."""

import os
from typing import Any

from fleet_api import door
from fleet_api.door import Door
from fleet_api.errors import Denied, FleetError, Unavailable
from fleet_api.paths import agent_paths

from fleet_cli.answers import Bucket, Change, HostAnswer, error_row, settle_change, settle_read
from fleet_cli.invocation import Invocation
from fleet_cli.retry import patiently

READ_TIMEOUT_SECONDS = 10.0
CHANGE_TIMEOUT_SECONDS = 300.0

_NOT_LET_IN = frozenset({door.DENIED, "DOOR_NOT_ALLOWED"})


def door_path(door_flag: str | None, state_dir: str | None, invocation: Invocation) -> str:
    """The socket of the agent that is meant."""
    if door_flag:
        return door_flag
    environ = invocation.environ
    return agent_paths(state_dir or environ.get("FLEET_STATE_DIR") or None, invocation.uid, environ).door


def is_away(error: FleetError, path: str) -> bool:
    """Whether an agent may be back in a moment; where it has no folder, none has ever run."""
    if error.code == door.NOT_FOUND:
        return os.path.isdir(os.path.dirname(path))
    return error.code in door.AWAY


class LocalAgent:
    """Asks one agent. Errors that concern all of a request are answers too, in their bucket."""

    def __init__(self, path: str, invocation: Invocation, timeout_seconds: float | None) -> None:
        self.path = path
        self._invocation = invocation
        self._timeout_seconds = timeout_seconds

    def hello(self) -> dict[str, Any]:
        """Version, pids and identity of the agent. Raises: as `Door.request`."""
        return self._ask("hello", self._timeout_seconds or READ_TIMEOUT_SECONDS)

    def status(self, terms: list[str], *, tree: bool = False) -> HostAnswer:
        """The processes that the terms mean; with `tree`, their descendants too.

        Raises: Denied when the door may not be opened.
        """
        try:
            seconds = self._timeout_seconds or READ_TIMEOUT_SECONDS
            reply = self._ask("tree" if tree else "status", seconds, terms=terms)
        except FleetError as error:
            return _failure(error, Bucket.TIMED_OUT)
        answer = HostAnswer(
            host=str((reply.get("position") or {}).get("agent_id", "")),
            bucket=Bucket.OK,
            rows=reply.get("processes", ()),
            errors=reply.get("errors", ()),
            position=reply.get("position"),
            troubles=reply.get("troubles", ()),
        )
        return settle_read([answer])[0]

    def operate(self, change: Change) -> HostAnswer:
        """Carry out a change; asked again with the same key if the supervisor was replaced meanwhile.

        Raises: as `status`.
        """
        was_sent = False

        def attempt() -> dict[str, Any]:
            nonlocal was_sent
            with Door.connect(self.path) as connection:
                was_sent = True
                return connection.request(
                    "operate",
                    timeout_seconds=change.timeout_seconds or CHANGE_TIMEOUT_SECONDS,
                    verb=change.verb,
                    terms=list(change.terms),
                    signal=change.signal,
                    wait=change.wait,
                    now=change.now,
                    context=change.context(),
                )

        started = self._invocation.clock()
        try:
            reply = patiently(attempt, lambda error: is_away(error, self.path), self._invocation.retry())
        except FleetError as error:
            answer = _failure(error, Bucket.UNKNOWN)
            if was_sent and answer.bucket is Bucket.UNREACHABLE:
                # Subtle: it went out once, so it may have been done.
                answer = answer._replace(bucket=Bucket.UNKNOWN)
            if answer.bucket is Bucket.UNKNOWN:
                row = error_row(error)
                row["message"] += f"; whether the {change.verb} was carried out is not known"
                row["hint"] = "see fleetctl status; a longer --timeout waits longer"
                answer = answer._replace(error=row)
            return answer._replace(operation_id=change.operation_id)
        return settle_change(
            HostAnswer(
                host=str((reply.get("position") or {}).get("agent_id", "")),
                bucket=Bucket.OK,
                outcomes=reply.get("outcomes", ()),
                errors=reply.get("errors", ()),
                position=reply.get("position"),
                operation_id=str(reply.get("operation_id", change.operation_id)),
                duration_seconds=self._invocation.clock() - started,
            )
        )

    def _ask(self, do: str, timeout_seconds: float, **args: Any) -> dict[str, Any]:
        def attempt() -> dict[str, Any]:
            with Door.connect(self.path) as connection:
                return connection.request(do, timeout_seconds=timeout_seconds, **args)

        return patiently(attempt, lambda error: is_away(error, self.path), self._invocation.retry())


def _failure(error: FleetError, silent: Bucket) -> HostAnswer:
    """The answer of an agent that gave none; `silent` is the bucket of one that did not answer in time."""
    if error.code in _NOT_LET_IN:
        raise error
    if error.code == door.TIMED_OUT:
        bucket = silent
    elif error.code in door.AWAY or isinstance(error, Unavailable):
        bucket = Bucket.UNREACHABLE
    else:
        bucket = Bucket.REFUSED if isinstance(error, Denied) else Bucket.FAILED
    return HostAnswer(host="", bucket=bucket, error=error_row(error))
