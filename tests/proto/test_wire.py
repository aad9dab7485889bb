"""Rows survive the way through protobuf and back."""

from typing import Any

import pytest
from fleet_api import wire
from fleet_api.errors import NotFound
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
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
STATES = st.sampled_from(
    ["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN"]
)
# Clock readings: late enough that a float holds no more than nanoseconds.
TIMES = st.floats(min_value=1e8, max_value=4e9)
UPTIMES = st.integers(min_value=0, max_value=10**9).map(lambda millis: millis / 1000)
COUNT = st.integers(min_value=0, max_value=2**31 - 1)
SEQUENCE = st.integers(min_value=0, max_value=2**63)


def rows(row_type: Any, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(fields).map(lambda values: row_type(**values))


EXITS = st.one_of(
    rows(ExitRow, code=st.integers(0, 255), signal=st.none(), core=st.just(False)),
    rows(ExitRow, code=st.none(), signal=st.integers(1, 64), core=st.booleans()),
    rows(ExitRow, code=st.none(), signal=st.none(), core=st.just(False)),
)
DESIRES = rows(
    DesireRow,
    kind=st.sampled_from(["stopped", "disabled"]),
    actor=TEXT,
    reason=TEXT,
    time=TIMES,
    operation_id=TEXT,
)
PROCESSES = rows(
    ProcessRow,
    name=TEXT,
    group=TEXT,
    state=STATES,
    pid=COUNT,
    run=SEQUENCE,
    description=TEXT,
    reason=TEXT,
    start_time=st.none() | TIMES,
    state_time=st.none() | TIMES,
    stop_time=st.none() | TIMES,
    exit=st.none() | EXITS,
    failures=COUNT,
    spawn_error=TEXT,
    uptime=st.none() | UPTIMES,
    stdout_logfile=TEXT,
    stderr_logfile=TEXT,
    desire=st.none() | DESIRES,
)
ERRORS = rows(ErrorRow, code=TEXT, message=TEXT, hint=TEXT)
POSITIONS = rows(PositionRow, agent_id=TEXT, incarnation=TEXT, sequence=SEQUENCE)
EVENTS = rows(
    EventRow,
    sequence=SEQUENCE,
    time=TIMES,
    old_state=STATES,
    reason=TEXT,
    process=PROCESSES,
    removed=st.booleans(),
)
OUTCOMES = rows(
    OutcomeRow,
    name=TEXT,
    group=TEXT,
    result=st.sampled_from(["ok", "unchanged", "failed", "refused"]),
    reason=TEXT,
    error=st.none() | ERRORS,
    process=st.none() | PROCESSES,
)
OPERATIONS = rows(
    OperationRow,
    operation_id=TEXT,
    outcomes=st.lists(OUTCOMES, max_size=2),
    errors=st.lists(ERRORS, max_size=2),
    position=POSITIONS,
    replayed=st.booleans(),
)
CONTEXTS = rows(
    ContextRow,
    operation_id=TEXT,
    key=TEXT,
    actor=TEXT,
    reason=TEXT,
    fleet_id=TEXT,
    epoch=SEQUENCE,
)

EXAMPLE = ProcessRow(
    name="web_00",
    group="web",
    state="RUNNING",
    pid=7,
    run=1,
    description="pid 7, uptime 0:00:01",
    reason="",
    start_time=1_700_000_000.25,
    state_time=1_700_000_001.25,
    stop_time=None,
    exit=None,
    failures=0,
    spawn_error="",
    uptime=1.5,
    stdout_logfile="",
    stderr_logfile="",
    desire=None,
)


@given(PROCESSES)
def test_a_process_survives(row: ProcessRow) -> None:
    message = types_pb2.Process.FromString(wire.process_to_proto(row).SerializeToString())
    assert wire.process_from_proto(message) == row


@given(EVENTS)
def test_an_event_survives(row: EventRow) -> None:
    assert wire.event_from_proto(wire.event_to_proto(row)) == row


@given(OPERATIONS)
def test_the_answer_to_an_operation_survives(row: OperationRow) -> None:
    message = agent_pb2.OperateResponse.FromString(wire.operation_to_proto(row).SerializeToString())
    assert wire.operation_from_proto(message) == row


@given(CONTEXTS)
def test_a_context_survives(row: ContextRow) -> None:
    assert wire.context_from_proto(wire.context_to_proto(row)) == row


@given(POSITIONS, ERRORS)
def test_positions_and_errors_survive(position: PositionRow, error: ErrorRow) -> None:
    assert wire.position_from_proto(wire.position_to_proto(position)) == position
    assert wire.error_from_proto(wire.error_to_proto(error)) == error


def test_an_error_of_the_tree_keeps_code_message_and_hint() -> None:
    message = wire.error_to_proto(NotFound("NO_SUCH_PROCESS", "no process web", "see fleetctl status"))
    assert (message.code, message.message, message.hint) == (
        "NO_SUCH_PROCESS",
        "no process web",
        "see fleetctl status",
    )


@given(st.text(max_size=20))
def test_any_text_can_be_sent(text: str) -> None:
    row = EXAMPLE.copy()
    row["spawn_error"] = text + "\udcff"
    sent = types_pb2.Process.FromString(wire.process_to_proto(row).SerializeToString())
    assert sent.spawn_error.endswith("\\udcff")


def test_times_that_round_up_to_a_whole_second_stay_valid() -> None:
    message = wire.timestamp(1.9999999999)
    assert (message.seconds, message.nanos) == (2, 0)
    assert wire.seconds_of(wire.timestamp(-0.25)) == -0.25
    assert wire.seconds_of(wire.duration(-3.0)) == 0


def test_a_start_at_the_epoch_is_not_absent() -> None:
    row = EXAMPLE.copy()
    row["start_time"] = 0.0
    row["uptime"] = 0.0
    back = wire.process_from_proto(
        types_pb2.Process.FromString(wire.process_to_proto(row).SerializeToString())
    )
    assert back["start_time"] == 0.0
    assert back["uptime"] == 0.0


def test_states_and_results_of_a_newer_release_are_unknown_not_fatal() -> None:
    row = EXAMPLE.copy()
    row["state"] = "HIBERNATING"
    message = wire.process_to_proto(row)
    assert message.state == types_pb2.Process.STATE_UNSPECIFIED
    assert wire.process_from_proto(message)["state"] == "UNKNOWN"
    newer = types_pb2.Process.FromString(b"\x18\x63")  # state = 99
    assert wire.process_from_proto(newer)["state"] == "UNKNOWN"
    outcome = types_pb2.ProcessOutcome.FromString(b"\x18\x63")  # result = 99
    assert wire.outcome_from_proto(outcome)["result"] == "failed"


def test_verbs_have_names() -> None:
    for verb in ("start", "stop", "restart", "signal"):
        assert wire.verb_from_proto(wire.verb_to_proto(verb)) == verb
    assert wire.verb_to_proto("explode") == agent_pb2.OperateRequest.VERB_UNSPECIFIED
    assert wire.verb_from_proto(agent_pb2.OperateRequest.VERB_UNSPECIFIED) == ""


def test_a_log_chunk_tells_where_to_go_on() -> None:
    chunk = wire.log_chunk("log-1", 100, b"hello", 7)
    assert (chunk.cursor.log_id, chunk.cursor.offset) == ("log-1", 100)
    assert (chunk.next.log_id, chunk.next.offset) == ("log-1", 105)
    assert chunk.lost_bytes == 7


def test_many_processes_are_cut_by_count_and_by_size() -> None:
    messages = [wire.process_to_proto(EXAMPLE) for _ in range(10)]
    assert [len(chunk) for chunk in wire.size_bounded(messages, 10**6, 4)] == [4, 4, 2]
    size = messages[0].ByteSize() + 8
    assert [len(chunk) for chunk in wire.size_bounded(messages, size * 3, 100)] == [3, 3, 3, 1]
    assert [len(chunk) for chunk in wire.size_bounded(messages, 1, 100)] == [1] * 10
    assert list(wire.size_bounded([], 10, 10)) == [[]]


@pytest.mark.parametrize("result", ["switching", "done", "failed", "of a later release"])
def test_upgrades(result: str) -> None:
    row = UpgradeRow(
        id="k",
        from_version="1",
        to_version="2",
        actor="user/ann",
        replaces_keeper=True,
        began=1.5,
        result=result,
        reason="because",
        ended=0.0,
    )
    message = wire.upgrade_to_proto(row)
    known = {"switching": message.SWITCHING, "done": message.DONE, "failed": message.FAILED}
    assert message.result == known.get(result, message.RESULT_UNSPECIFIED)
    assert (message.idempotency_key, message.from_version, message.to_version) == ("k", "1", "2")
    assert (message.actor, message.reason, message.replaces_keeper) == ("user/ann", "because", True)
    assert wire.seconds_of(message.began) == 1.5


@given(
    rows(TroubleRow, kind=TEXT, subject=TEXT, message=TEXT, since=TIMES, count=SEQUENCE, lost_bytes=SEQUENCE)
)
def test_troubles(row: TroubleRow) -> None:
    message = types_pb2.Trouble.FromString(wire.trouble_to_proto(row).SerializeToString())
    assert wire.trouble_from_proto(message) == pytest.approx(row)
