"""The agent of this host: found, asked, asked again, and what it means when it does not answer."""

import os
import threading
from pathlib import Path

import pytest
from fakes.door import Conversation, FakeDoor, fake_door
from fakes.fleetctl import screen
from fakes.local_agent import answers_operate, answers_status, missing, operation
from fakes.process_rows import outcome_row
from fleet_api import door
from fleet_api.errors import Denied, Unavailable
from fleet_api.frames import Frame
from fleet_cli.answers import Bucket, Change
from fleet_cli.local import LocalAgent, door_path, is_away

CHANGE = Change("stop", ("web",), "op-1", "key-1", "alice", reason="a test")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "run" / "door.sock")


def agent(path: str, timeout: float | None = None) -> LocalAgent:
    return LocalAgent(path, screen().invocation, timeout)


def test_the_door_is_found_by_flag_then_folder_then_environment() -> None:
    invocation = screen(environ={"FLEET_STATE_DIR": "/env"}).invocation
    assert door_path("/a/door", "/b", invocation) == "/a/door"
    assert door_path(None, "/b", invocation) == "/b/run/door.sock"
    assert door_path(None, None, invocation) == "/env/run/door.sock"
    alone = screen(environ={"XDG_RUNTIME_DIR": "/run/user/7"}).invocation
    assert door_path(None, None, alone._replace(uid=7)) == "/run/user/7/fleet-agent/door.sock"
    assert door_path(None, None, alone._replace(uid=0)) == "/run/fleet-agent/door.sock"


def test_where_no_agent_has_ever_run_nobody_is_waited_for(tmp_path: Path) -> None:
    error = Unavailable(door.NOT_FOUND, "")
    assert not is_away(error, str(tmp_path / "none" / "door.sock"))
    assert is_away(error, str(tmp_path / "door.sock"))
    assert not is_away(Unavailable(door.TIMED_OUT, ""), str(tmp_path / "door.sock"))


def test_status(path: str) -> None:
    with fake_door(path, {"status": answers_status()}) as fake:
        answer = agent(path).status(["web:*"])
    assert fake.requests[0]["terms"] == ["web:*"]
    assert (answer.host, answer.bucket, len(answer.rows)) == ("web1", Bucket.OK, 3)


def test_a_name_that_means_nothing_fails(path: str) -> None:
    with fake_door(path, {"status": answers_status([], [missing("x")])}):
        answer = agent(path).status(["x"])
    assert answer.bucket is Bucket.FAILED
    assert answer.errors[0]["message"] == "x: no such process"


def test_an_agent_that_comes_back_is_asked_again(path: str) -> None:
    fake = FakeDoor(path, {"status": answers_status()}).start()
    fake.stop()
    timer = threading.Timer(0.3, fake.start)
    timer.start()
    try:
        assert agent(path).status([]).bucket is Bucket.OK
    finally:
        timer.join()
        fake.stop()


def test_an_agent_that_stays_away_is_unreachable_with_its_reason(path: str) -> None:
    FakeDoor(path).start().stop(leave_socket=True)
    answer = agent(path).status([])
    assert answer.bucket is Bucket.UNREACHABLE
    assert answer.error is not None
    assert answer.error["code"] == door.REFUSED


def test_a_silent_agent_times_out_a_read_and_leaves_a_change_unknown(path: str) -> None:
    silent = {"status": lambda talk, request: None, "operate": lambda talk, request: None}
    with fake_door(path, silent):
        assert agent(path, 0.2).status([]).bucket is Bucket.TIMED_OUT
        answer = agent(path).operate(CHANGE._replace(timeout_seconds=0.2))
    assert answer.bucket is Bucket.UNKNOWN
    assert answer.error is not None
    assert answer.error["message"].endswith("; whether the stop was carried out is not known")


def test_a_change_carries_its_context(path: str) -> None:
    with fake_door(path, {"operate": answers_operate(outcome_row("web"))}) as fake:
        answer = agent(path).operate(CHANGE)
    request = fake.requests[0]
    assert {key: request[key] for key in ("verb", "terms", "signal", "wait")} == {
        "verb": "stop",
        "terms": ["web"],
        "signal": "",
        "wait": True,
    }
    assert request["context"] == {
        "operation_id": "op-1",
        "key": "key-1",
        "actor": "alice",
        "reason": "a test",
        "fleet_id": "",
        "epoch": 0,
    }
    assert (answer.bucket, answer.operation_id) == (Bucket.OK, "op-1")


def test_a_supervisor_replaced_in_the_middle_of_a_change_is_asked_with_the_same_key(path: str) -> None:
    def die_once(talk: Conversation, request: Frame) -> None:
        if len(fake.requests) == 1:
            talk.close()
        else:
            talk.ok(request, **operation(request, outcome_row("web")))

    with fake_door(path, {"operate": die_once}) as fake:
        answer = agent(path).operate(CHANGE)
    assert answer.bucket is Bucket.OK
    assert [request["context"]["key"] for request in fake.requests] == ["key-1", "key-1"]


def test_a_change_that_went_out_and_was_never_answered_is_unknown(path: str) -> None:
    fake = FakeDoor(path)

    def die_for_good(talk: Conversation, request: Frame) -> None:
        os.unlink(path)
        talk.close()

    fake.handlers = {"operate": die_for_good}
    fake.start()
    try:
        answer = agent(path).operate(CHANGE)
    finally:
        fake.stop()
    assert len(fake.requests) == 1
    assert answer.bucket is Bucket.UNKNOWN
    assert answer.error is not None


def test_a_change_that_never_went_out_is_unreachable(path: str) -> None:
    assert agent(path).operate(CHANGE).bucket is Bucket.UNREACHABLE


def test_refusals(path: str) -> None:
    def refuse(cls: str, code: str) -> FakeDoor:
        return FakeDoor(path, {"status": lambda talk, request: talk.error(request, cls, code, "no")})

    for cls, bucket in (("Denied", Bucket.REFUSED), ("Conflict", Bucket.FAILED), ("Broken", Bucket.FAILED)):
        fake = refuse(cls, "X").start()
        assert agent(path).status([]).bucket is bucket
        fake.stop()
    fake = refuse("Denied", "DOOR_NOT_ALLOWED").start()
    with pytest.raises(Denied):
        agent(path).status([])
    fake.stop()


def test_garbage_is_a_failure_not_a_retry(path: str) -> None:
    with fake_door(path, {"status": lambda talk, request: talk.raw(b"\xff" * 8)}) as fake:
        answer = agent(path).status([])
    assert answer.bucket is Bucket.FAILED
    assert len(fake.requests) == 1
