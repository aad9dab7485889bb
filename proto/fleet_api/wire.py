"""Rows and protobuf messages: the only place that converts between them.

Called by the agent's gateway, the controller and fleetctl. Rows come from JSON and messages from the
network, so both directions take what they are given: text that is no UTF-8 is escaped, an enum value
of a newer release reads as unknown. Times survive to the nanosecond.
"""

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from fleet_api.errors import FleetError
from fleet_api.rows import (
    ContextRow,
    DesireRow,
    ErrorRow,
    EventRow,
    ExitRow,
    OperationRow,
    OutcomeRow,
    PositionRow,
    ProcessRow,
    TroubleRow,
    UpgradeRow,
)
from fleet_api.v1 import agent_pb2, types_pb2

NANOS = 1_000_000_000

_STATES = dict(types_pb2.Process.State.items())
_STATE_NAMES = {number: name for name, number in _STATES.items()}
_DESIRES = {name.lower(): number for name, number in types_pb2.Desire.Kind.items() if number}
_DESIRE_NAMES = {number: name for name, number in _DESIRES.items()}
_RESULTS = {name.lower(): number for name, number in types_pb2.ProcessOutcome.Result.items()}
_RESULT_NAMES = {number: name for name, number in _RESULTS.items()}
_VERBS = {name.lower(): number for name, number in agent_pb2.OperateRequest.Verb.items() if number}
_UPGRADE_RESULTS = {name.lower(): number for name, number in agent_pb2.Upgrade.Result.items() if number}
_VERB_NAMES = {number: name for name, number in _VERBS.items()}


# ---------------------------------------------------------------- times and text


def timestamp(seconds: float) -> Timestamp:
    """The message of a time in seconds since the epoch."""
    whole, nanos = _split(seconds)
    return Timestamp(seconds=whole, nanos=nanos)


def duration(seconds: float) -> Duration:
    """The message of a duration in seconds; a negative one reads as 0."""
    whole, nanos = _split(max(0.0, seconds))
    return Duration(seconds=whole, nanos=nanos)


def seconds_of(message: Timestamp | Duration) -> float:
    """The seconds of a time or duration."""
    return message.seconds + message.nanos / NANOS


def clean(text: str) -> str:
    """Text that protobuf takes: bytes that were no UTF-8 (a file name, say) are shown escaped."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _split(seconds: float) -> tuple[int, int]:
    whole = int(seconds // 1)
    nanos = round((seconds - whole) * NANOS)
    return (whole + 1, 0) if nanos >= NANOS else (whole, nanos)


# ---------------------------------------------------------------- processes


def process_to_proto(row: ProcessRow) -> types_pb2.Process:
    """The message of a row; a state that this version does not know is left unspecified."""
    message = types_pb2.Process(
        name=clean(row["name"]),
        group=clean(row["group"]),
        state=state_to_proto(row["state"]),
        pid=row["pid"],
        run=row["run"],
        description=clean(row["description"]),
        reason=clean(row["reason"]),
        failures=row["failures"],
        spawn_error=clean(row["spawn_error"]),
        stdout_logfile=clean(row["stdout_logfile"]),
        stderr_logfile=clean(row["stderr_logfile"]),
    )
    if row["start_time"] is not None:
        _fill(message.start_time, row["start_time"])
    if row["state_time"] is not None:
        _fill(message.state_time, row["state_time"])
    if row["stop_time"] is not None:
        _fill(message.stop_time, row["stop_time"])
    if row["uptime"] is not None:
        _fill(message.uptime, max(0.0, row["uptime"]))
    if row["desire"] is not None:
        message.desire.CopyFrom(_desire_to_proto(row["desire"]))
    if row["exit"] is not None:
        message.last_exit.CopyFrom(_exit_to_proto(row["exit"]))
    return message


def process_from_proto(message: types_pb2.Process) -> ProcessRow:
    """The row of a message; the inverse of `process_to_proto`."""
    return ProcessRow(
        name=message.name,
        group=message.group,
        state=state_from_proto(message.state),
        pid=message.pid,
        run=message.run,
        description=message.description,
        reason=message.reason,
        start_time=seconds_of(message.start_time) if message.HasField("start_time") else None,
        state_time=seconds_of(message.state_time) if message.HasField("state_time") else None,
        stop_time=seconds_of(message.stop_time) if message.HasField("stop_time") else None,
        exit=_exit_from_proto(message.last_exit) if message.HasField("last_exit") else None,
        failures=message.failures,
        spawn_error=message.spawn_error,
        uptime=seconds_of(message.uptime) if message.HasField("uptime") else None,
        stdout_logfile=message.stdout_logfile,
        stderr_logfile=message.stderr_logfile,
        desire=_desire_from_proto(message.desire) if message.HasField("desire") else None,
    )


def state_to_proto(state: str) -> types_pb2.Process.State.ValueType:
    """The enum value of a state's name; unspecified for an unknown one."""
    return _STATES.get(state, types_pb2.Process.STATE_UNSPECIFIED)


def state_from_proto(state: types_pb2.Process.State.ValueType) -> str:
    """The name of a state; UNKNOWN for none or one of a newer release."""
    return _STATE_NAMES.get(state, "UNKNOWN") if state else "UNKNOWN"


def _fill(message: Timestamp | Duration, seconds: float) -> None:
    message.seconds, message.nanos = _split(seconds)
    message.SetInParent()


def _desire_to_proto(row: DesireRow) -> types_pb2.Desire:
    return types_pb2.Desire(
        kind=_DESIRES.get(row["kind"], types_pb2.Desire.KIND_UNSPECIFIED),
        actor=clean(row["actor"]),
        reason=clean(row["reason"]),
        time=timestamp(row["time"]),
        operation_id=clean(row["operation_id"]),
    )


def _desire_from_proto(message: types_pb2.Desire) -> DesireRow:
    return DesireRow(
        kind=_DESIRE_NAMES.get(message.kind, ""),
        actor=message.actor,
        reason=message.reason,
        time=seconds_of(message.time),
        operation_id=message.operation_id,
    )


def _exit_to_proto(row: ExitRow) -> types_pb2.ExitStatus:
    if row["code"] is not None:
        return types_pb2.ExitStatus(
            kind=types_pb2.ExitStatus.EXITED, code=row["code"], core_dumped=row["core"]
        )
    if row["signal"] is not None:
        return types_pb2.ExitStatus(
            kind=types_pb2.ExitStatus.SIGNALED, signal=row["signal"], core_dumped=row["core"]
        )
    return types_pb2.ExitStatus(kind=types_pb2.ExitStatus.UNKNOWN, core_dumped=row["core"])


def _exit_from_proto(message: types_pb2.ExitStatus) -> ExitRow:
    return ExitRow(
        code=message.code if message.kind == types_pb2.ExitStatus.EXITED else None,
        signal=message.signal if message.kind == types_pb2.ExitStatus.SIGNALED else None,
        core=message.core_dumped,
    )


# ---------------------------------------------------------------- errors, troubles, positions, events


def error_to_proto(error: ErrorRow | FleetError) -> types_pb2.Error:
    """The message of an error or of its row; the class does not travel, the code tells it."""
    if isinstance(error, FleetError):
        return types_pb2.Error(code=error.code, message=clean(error.message), hint=clean(error.hint))
    return types_pb2.Error(
        code=clean(error["code"]), message=clean(error["message"]), hint=clean(error["hint"])
    )


def error_from_proto(message: types_pb2.Error) -> ErrorRow:
    """The row of an error."""
    return ErrorRow(code=message.code, message=message.message, hint=message.hint)


def trouble_to_proto(row: TroubleRow) -> types_pb2.Trouble:
    """The message of a row."""
    return types_pb2.Trouble(
        kind=clean(row["kind"]),
        subject=clean(row["subject"]),
        message=clean(row["message"]),
        since=timestamp(row["since"]),
        count=row["count"],
        lost_bytes=row["lost_bytes"],
    )


def trouble_from_proto(message: types_pb2.Trouble) -> TroubleRow:
    """The row of a message; the inverse of `trouble_to_proto`."""
    return TroubleRow(
        kind=message.kind,
        subject=message.subject,
        message=message.message,
        since=seconds_of(message.since),
        count=message.count,
        lost_bytes=message.lost_bytes,
    )


def position_to_proto(row: PositionRow) -> types_pb2.Position:
    """The message of a position."""
    return types_pb2.Position(
        agent_id=clean(row["agent_id"]), incarnation=clean(row["incarnation"]), sequence=row["sequence"]
    )


def position_from_proto(message: types_pb2.Position) -> PositionRow:
    """The row of a position."""
    return PositionRow(agent_id=message.agent_id, incarnation=message.incarnation, sequence=message.sequence)


def event_to_proto(row: EventRow) -> types_pb2.ProcessEvent:
    """The message of one numbered change."""
    return types_pb2.ProcessEvent(
        sequence=row["sequence"],
        time=timestamp(row["time"]),
        old_state=state_to_proto(row["old_state"]),
        reason=clean(row["reason"]),
        process=process_to_proto(row["process"]),
        removed=row["removed"],
    )


def event_from_proto(message: types_pb2.ProcessEvent) -> EventRow:
    """The row of one numbered change."""
    return EventRow(
        sequence=message.sequence,
        time=seconds_of(message.time),
        old_state=state_from_proto(message.old_state),
        reason=message.reason,
        process=process_from_proto(message.process),
        removed=message.removed,
    )


# ---------------------------------------------------------------- operations


def outcome_to_proto(row: OutcomeRow) -> types_pb2.ProcessOutcome:
    """The message of what became of an operation on one process."""
    message = types_pb2.ProcessOutcome(
        name=clean(row["name"]),
        group=clean(row["group"]),
        result=_RESULTS.get(row["result"], types_pb2.ProcessOutcome.RESULT_UNSPECIFIED),
        reason=clean(row["reason"]),
    )
    if row["error"] is not None:
        message.error.CopyFrom(error_to_proto(row["error"]))
    if row["process"] is not None:
        message.process.CopyFrom(process_to_proto(row["process"]))
    return message


def outcome_from_proto(message: types_pb2.ProcessOutcome) -> OutcomeRow:
    """The row of an outcome; a result that this version does not know reads as failed."""
    return OutcomeRow(
        name=message.name,
        group=message.group,
        result=_RESULT_NAMES.get(message.result, "failed") if message.result else "failed",
        reason=message.reason,
        error=error_from_proto(message.error) if message.HasField("error") else None,
        process=process_from_proto(message.process) if message.HasField("process") else None,
    )


def operation_to_proto(row: OperationRow) -> agent_pb2.OperateResponse:
    """The answer to an operation."""
    return agent_pb2.OperateResponse(
        operation_id=clean(row["operation_id"]),
        outcomes=[outcome_to_proto(outcome) for outcome in row["outcomes"]],
        errors=[error_to_proto(error) for error in row["errors"]],
        position=position_to_proto(row["position"]),
        replayed=row["replayed"],
    )


def operation_from_proto(message: agent_pb2.OperateResponse) -> OperationRow:
    """The row of the answer to an operation."""
    return OperationRow(
        operation_id=message.operation_id,
        outcomes=[outcome_from_proto(outcome) for outcome in message.outcomes],
        errors=[error_from_proto(error) for error in message.errors],
        position=position_from_proto(message.position),
        replayed=message.replayed,
    )


def context_to_proto(row: ContextRow) -> types_pb2.OperationContext:
    """The message of who asks for a change and why."""
    return types_pb2.OperationContext(
        operation_id=clean(row["operation_id"]),
        idempotency_key=clean(row["key"]),
        actor=clean(row["actor"]),
        reason=clean(row["reason"]),
        fleet_id=clean(row["fleet_id"]),
        epoch=row["epoch"],
    )


def context_from_proto(message: types_pb2.OperationContext) -> ContextRow:
    """The row of an operation's context."""
    return ContextRow(
        operation_id=message.operation_id,
        key=message.idempotency_key,
        actor=message.actor,
        reason=message.reason,
        fleet_id=message.fleet_id,
        epoch=message.epoch,
    )


def verb_to_proto(verb: str) -> agent_pb2.OperateRequest.Verb.ValueType:
    """The enum value of a verb such as `start`; unspecified for one that this version does not know."""
    return _VERBS.get(verb, agent_pb2.OperateRequest.VERB_UNSPECIFIED)


def verb_from_proto(verb: agent_pb2.OperateRequest.Verb.ValueType) -> str:
    """The name of a verb; empty for none or one of a newer release."""
    return _VERB_NAMES.get(verb, "")


# ---------------------------------------------------------------- upgrades


def upgrade_to_proto(row: UpgradeRow) -> agent_pb2.Upgrade:
    """The message of a row; a result of a newer release reads as none."""
    message = agent_pb2.Upgrade(
        idempotency_key=clean(row["id"]),
        from_version=clean(row["from_version"]),
        to_version=clean(row["to_version"]),
        replaces_keeper=row["replaces_keeper"],
        result=_UPGRADE_RESULTS.get(row["result"], agent_pb2.Upgrade.RESULT_UNSPECIFIED),
        reason=clean(row["reason"]),
        actor=clean(row["actor"]),
    )
    _fill(message.began, row["began"])
    if row["ended"]:
        _fill(message.ended, row["ended"])
    return message


# ---------------------------------------------------------------- logs


def log_cursor(log_id: str, offset: int) -> types_pb2.LogCursor:
    """A place in a log: `offset` bytes after it began."""
    return types_pb2.LogCursor(log_id=log_id, offset=offset)


def log_chunk(log_id: str, start: int, data: bytes, lost_bytes: int = 0) -> types_pb2.LogChunk:
    """Bytes of a log with the cursors before and behind them."""
    return types_pb2.LogChunk(
        cursor=log_cursor(log_id, start),
        data=data,
        next=log_cursor(log_id, start + len(data)),
        lost_bytes=lost_bytes,
    )


def size_bounded(
    messages: Iterable[types_pb2.Process], max_bytes: int, max_count: int
) -> Iterable[list[types_pb2.Process]]:
    """Cut processes into lists of at most `max_count` that stay below `max_bytes`; one list at least."""
    chunk: list[types_pb2.Process] = []
    size = 0
    for message in messages:
        cost = message.ByteSize() + 8
        if chunk and (size + cost > max_bytes or len(chunk) >= max_count):
            yield chunk
            chunk, size = [], 0
        chunk.append(message)
        size += cost
    yield chunk
