"""What clients get from a real gateway process over real mTLS."""

import re
import threading
import time
from typing import Any

import grpc
import pytest
from fakes.running_gateway import SECONDS, listed, refusal, selector
from fakes.supervisor import FakeSupervisor, make_row
from fleet_api import wire
from fleet_api.errors import BadRequest, Conflict, Denied, NotFound, Unavailable
from fleet_api.v1 import agent_pb2, types_pb2

# ---------------------------------------------------------------- reads


def test_the_agent_tells_who_it_is(shared: Any) -> None:
    answer = shared.stub().GetAgent(agent_pb2.GetAgentRequest(), timeout=SECONDS)
    assert (answer.host_id, answer.version, answer.api_level) == ("web1", "0.1.0", 1)
    assert wire.seconds_of(answer.start_time) == 1_700_000_000.5
    assert answer.position.incarnation == "first"
    assert answer.position.sequence == 10


def test_processes_are_listed_by_terms(shared: Any) -> None:
    stub = shared.stub()
    everything = {"web": "RUNNING", "one": "RUNNING", "two": "STOPPED"}
    assert listed(stub) == everything
    assert listed(stub, "all") == everything
    assert listed(stub, "workers:*") == {"one": "RUNNING", "two": "STOPPED"}
    assert listed(stub, "web", "workers:two") == {"web": "RUNNING", "two": "STOPPED"}


def test_terms_that_match_nothing_are_told_beside_the_others(shared: Any) -> None:
    request = agent_pb2.ListProcessesRequest(selector=selector("web", "nope"))
    (response,) = shared.stub().ListProcesses(request, timeout=SECONDS)
    assert [process.name for process in response.processes] == ["web"]
    (error,) = response.errors
    assert error.code
    assert "nope" in error.message


def test_uptimes_go_on_while_nothing_changes(shared: Any) -> None:
    stub = shared.stub()
    request = agent_pb2.ListProcessesRequest(selector=selector("web"))

    def read() -> types_pb2.Process:
        (response,) = stub.ListProcesses(request, timeout=SECONDS)
        process: types_pb2.Process = response.processes[0]
        return process

    first = wire.seconds_of(read().uptime)
    assert first >= 1
    deadline = time.monotonic() + SECONDS
    while wire.seconds_of((process := read()).uptime) < first + 0.01:
        assert time.monotonic() < deadline
    assert re.fullmatch(r"pid 7, uptime 0:\d\d:\d\d", process.description)


def test_many_processes_come_in_messages_below_the_limit(launch: Any) -> None:
    rows = [make_row(f"p{number}", reason="x" * 2000) for number in range(3000)]
    gateway = launch(rows)
    request = agent_pb2.ListProcessesRequest(selector=selector("all"))
    responses = list(gateway.stub().ListProcesses(request, timeout=SECONDS))
    assert len(responses) > 4
    assert max(response.ByteSize() for response in responses) < 1_100_000
    assert sum(len(response.processes) for response in responses) == 3000


# ---------------------------------------------------------------- changes


def operate(verb: Any, *terms: str, **context: Any) -> agent_pb2.OperateRequest:
    return agent_pb2.OperateRequest(
        context=types_pb2.OperationContext(**context), verb=verb, selector=selector(*terms)
    )


STOP = agent_pb2.OperateRequest.STOP


def test_a_read_after_a_write_is_never_stale(launch: Any) -> None:
    gateway = launch()
    stub = gateway.stub()
    for verb, state in [(STOP, "STOPPED"), (agent_pb2.OperateRequest.START, "RUNNING")] * 3:
        answer = stub.Operate(operate(verb, "web"), timeout=SECONDS)
        (outcome,) = answer.outcomes
        assert outcome.result == types_pb2.ProcessOutcome.OK
        assert outcome.process.name == "web"
        assert listed(stub, "web") == {"web": state}
        position = next(iter(stub.ListProcesses(agent_pb2.ListProcessesRequest(), timeout=SECONDS))).position
        assert position.sequence >= answer.position.sequence


def test_the_certificate_says_who_asked(launch: Any) -> None:
    gateway = launch()
    supervisor = gateway.supervisor
    controller = gateway.files.controller
    stub = gateway.stub()
    stub.Operate(operate(STOP, "web", reason="tired", idempotency_key="k1"), timeout=SECONDS)
    stub.Operate(operate(STOP, "web", actor="user/bob"), timeout=SECONDS)
    stub = gateway.stub(controller)
    stub.Operate(operate(STOP, "web", actor="user/bob", fleet_id="test", epoch=3), timeout=SECONDS)
    stub.Operate(operate(STOP, "web"), timeout=SECONDS)
    contexts = [frame["context"] for frame in supervisor.requests("operate")]
    assert [context["actor"] for context in contexts] == [
        "user/alice",
        "user/alice",
        "controller/main/user/bob",
        "controller/main",
    ]
    assert (contexts[0]["reason"], contexts[0]["key"]) == ("tired", "k1")
    ids = [context["operation_id"] for context in contexts]
    assert all(ids)
    assert len(set(ids)) == 4
    assert (contexts[2]["fleet_id"], contexts[2]["epoch"]) == ("test", 3)


def test_only_a_controller_may_claim_an_epoch(launch: Any) -> None:
    gateway = launch()
    request = operate(STOP, "web", fleet_id="test", epoch=2**63)
    error = refusal(lambda: gateway.stub().Operate(request, timeout=SECONDS))
    assert isinstance(error, Denied)
    assert error.code == "EPOCH_NOT_YOURS"
    gateway.stub(gateway.files.controller).Operate(operate(STOP, "web", epoch=7), timeout=SECONDS)
    (frame,) = gateway.supervisor.requests("operate")
    # Epochs are counted by fleet: nobody opens a second count by naming none.
    assert (frame["context"]["fleet_id"], frame["context"]["epoch"]) == ("test", 7)


def test_a_change_is_found_again_by_its_key(launch: Any) -> None:
    stub = launch().stub()
    stub.Operate(operate(STOP, "web", idempotency_key="k1"), timeout=SECONDS)
    answer = stub.GetOperation(agent_pb2.GetOperationRequest(idempotency_key="k1"), timeout=SECONDS)
    assert answer.replayed
    assert [outcome.name for outcome in answer.outcomes] == ["web"]
    unknown = agent_pb2.GetOperationRequest(idempotency_key="k2")
    error = refusal(lambda: stub.GetOperation(unknown, timeout=SECONDS))
    assert isinstance(error, NotFound)
    assert error.code == "OPERATION_NOT_FOUND"


def test_an_upgrade_is_asked_for_and_looked_up_by_its_key(launch: Any) -> None:
    gateway = launch()
    stub = gateway.stub()
    request = agent_pb2.UpgradeAgentRequest(
        context=types_pb2.OperationContext(idempotency_key="u1"), venv="/opt/new"
    )
    upgrade = stub.UpgradeAgent(request, timeout=SECONDS)
    assert (upgrade.from_version, upgrade.to_version, upgrade.actor) == ("0.1.0", "0.2.0", "user/alice")
    assert upgrade.result == agent_pb2.Upgrade.SWITCHING
    assert upgrade.replaces_keeper
    assert wire.seconds_of(upgrade.began) == 1_700_000_001.5
    assert not upgrade.HasField("ended")
    (frame,) = gateway.supervisor.requests("upgrade")
    assert frame["python"] == "/opt/new/bin/python"
    ended = stub.GetUpgrade(agent_pb2.GetUpgradeRequest(idempotency_key="u1"), timeout=SECONDS)
    assert (ended.result, ended.reason) == (agent_pb2.Upgrade.FAILED, "it died")
    assert wire.seconds_of(ended.ended) == 1_700_000_002.5


def test_an_upgrade_that_cannot_be(launch: Any) -> None:
    gateway = launch()
    stub = gateway.stub()

    def code(key: str, venv: str = "", **context: Any) -> str:
        stated = types_pb2.OperationContext(idempotency_key=key, **context)
        request = agent_pb2.UpgradeAgentRequest(context=stated, venv=venv)
        return refusal(lambda: stub.UpgradeAgent(request, timeout=SECONDS)).code

    assert code("") == "KEY_MISSING"
    assert code("u1", fleet_id="other") == "WRONG_FLEET"
    assert code("u1", "/bad") == "UPGRADE_REFUSED"
    unknown = agent_pb2.GetUpgradeRequest(idempotency_key="u9")
    assert refusal(lambda: stub.GetUpgrade(unknown, timeout=SECONDS)).code == "UPGRADE_NOT_FOUND"
    empty = agent_pb2.GetUpgradeRequest()
    assert refusal(lambda: stub.GetUpgrade(empty, timeout=SECONDS)).code == "KEY_MISSING"


def test_bad_requests_say_what_is_wrong(shared: Any) -> None:
    stub = shared.stub()

    def code(request: agent_pb2.OperateRequest) -> str:
        error = refusal(lambda: stub.Operate(request, timeout=SECONDS))
        assert isinstance(error, (BadRequest, Denied))
        return error.code

    assert code(operate(agent_pb2.OperateRequest.VERB_UNSPECIFIED, "web")) == "UNKNOWN_VERB"
    assert code(operate(STOP)) == "EMPTY_TARGET"
    assert code(operate(STOP, "web", fleet_id="other")) == "WRONG_FLEET"
    empty = agent_pb2.GetOperationRequest()
    assert refusal(lambda: stub.GetOperation(empty, timeout=SECONDS)).code == "KEY_MISSING"


def test_an_error_of_the_supervisor_keeps_class_code_and_hint(launch: Any) -> None:
    def refuse(frame: dict[str, Any]) -> dict[str, Any]:
        raise Conflict("SHUTTING_DOWN", "the agent is stopping", "wait")

    gateway = launch(prepare=lambda supervisor: supervisor.on.update(operate=refuse))
    error = refusal(lambda: gateway.stub().Operate(operate(STOP, "web"), timeout=SECONDS))
    assert isinstance(error, Conflict)
    assert (error.code, error.message, error.hint) == ("SHUTTING_DOWN", "the agent is stopping", "wait")


def test_an_answer_that_makes_no_sense_is_our_bug_and_harms_nothing(launch: Any) -> None:
    gateway = launch(prepare=lambda supervisor: supervisor.on.update(operate=lambda frame: {"outcomes": 7}))
    stub = gateway.stub()
    assert refusal(lambda: stub.Operate(operate(STOP, "web"), timeout=SECONDS)).code == "OPERATION_MALFORMED"
    assert listed(stub) == {"web": "RUNNING"}


def test_a_client_that_gives_up_takes_its_question_back(launch: Any) -> None:
    gateway = launch(prepare=lambda supervisor: supervisor.silent.add("operate"))
    error = refusal(lambda: gateway.stub().Operate(operate(STOP, "web"), timeout=0.5))
    assert error.code == "DEADLINE_EXCEEDED"
    asked = gateway.supervisor.wait_for_request("operate")
    gateway.supervisor.wait_for(lambda: asked["id"] in gateway.supervisor.cancelled, "cancel")


def test_a_change_of_thousands_answers_below_the_message_limit(launch: Any) -> None:
    rows = [make_row(f"p{number}", reason="y" * 900, stdout_logfile="x" * 900) for number in range(3000)]
    gateway = launch(rows)
    supervisor: FakeSupervisor = gateway.supervisor

    def answer(frame: dict[str, Any]) -> dict[str, Any]:
        outcomes = [
            {
                "name": row["name"],
                "group": row["group"],
                "result": "unchanged",
                "reason": "already",
                "error": None,
                "process": row,
            }
            for row in supervisor.rows.values()
        ]
        return {
            "operation_id": "1",
            "outcomes": outcomes,
            "errors": [],
            "position": supervisor.position(),
            "replayed": False,
        }

    supervisor.on["operate"] = answer
    response = gateway.stub().Operate(operate(STOP, "all"), timeout=SECONDS)
    assert len(response.outcomes) == 3000


# ---------------------------------------------------------------- rude clients


def test_clients_that_vanish_leave_nothing_behind(launch: Any) -> None:
    gateway = launch()
    for _ in range(10):
        channel = gateway.channel()
        call = type(gateway.stub())(channel).Watch(agent_pb2.WatchRequest(), timeout=SECONDS)
        next(call)
        channel.close()
    assert listed(gateway.stub()) == {"web": "RUNNING"}


def test_a_message_that_is_too_large_is_refused(shared: Any) -> None:
    request = agent_pb2.ListProcessesRequest(selector=selector("x" * 5_000_000))
    with pytest.raises(grpc.RpcError):
        list(shared.stub().ListProcesses(request, timeout=SECONDS))
    assert listed(shared.stub(), "web")


def test_reads_go_on_while_the_supervisor_is_silent(launch: Any) -> None:
    gateway = launch()
    gateway.supervisor.silent.update({"ping", "operate", "watch"})
    blocked = threading.Thread(
        target=lambda: refusal(lambda: gateway.stub().Operate(operate(STOP, "web"), timeout=1)), daemon=True
    )
    blocked.start()
    assert listed(gateway.stub()) == {"web": "RUNNING"}
    blocked.join(SECONDS)


def test_the_end_of_the_supervisor_is_told_to_those_who_wait(launch: Any, watcher: Any) -> None:
    gateway = launch(prepare=lambda supervisor: supervisor.silent.add("operate"))
    stub = gateway.stub()
    watch = watcher(stub)
    watch.next("snapshot")
    waiting = stub.Operate.future(operate(STOP, "web"), timeout=SECONDS)
    gateway.supervisor.wait_for_request("operate")
    gateway.supervisor.end()
    error = refusal(waiting.result)
    assert isinstance(error, Unavailable)
    assert error.code == "SUPERVISOR_GONE"
    error = refusal(lambda: watch.next("event"))
    assert isinstance(error, Unavailable)
    assert error.code == "SUPERVISOR_GONE"
    assert gateway.process.wait(SECONDS) == 0


# ---------------------------------------------------------------- descendants


MEMBER = {
    "pid": 8,
    "parent": 7,
    "depth": 1,
    "command": "worker",
    "state": "S",
    "cpu_seconds": 1.5,
    "memory_bytes": 4096,
}


def test_descendants_come_from_the_supervisor(launch: Any) -> None:
    gateway = launch([make_row("web")])
    fake: FakeSupervisor = gateway.supervisor
    row = make_row("web", tree=[MEMBER], tree_size=3)
    missing = {"code": "NO_SUCH_PROCESS", "message": "nope", "hint": ""}
    fake.on["tree"] = lambda frame: {
        "position": fake.position(),
        "now": 0.0,
        "processes": [row],
        "errors": [missing],
    }
    request = agent_pb2.ListProcessesRequest(selector=selector("web", "nope"), tree=True)
    (response,) = gateway.stub().ListProcesses(request, timeout=SECONDS)
    (process,) = response.processes
    assert (process.tree[0].command, process.tree[0].memory_bytes, process.tree_size) == ("worker", 4096, 3)
    assert wire.seconds_of(process.tree[0].cpu_duration) == 1.5
    assert response.errors[0].message == "nope"
    assert next(frame["terms"] for frame in fake.seen if frame.get("do") == "tree") == ["web", "nope"]


def test_a_tree_that_makes_no_sense_is_our_bug(launch: Any) -> None:
    gateway = launch([make_row("web")])
    gateway.supervisor.on["tree"] = lambda frame: {"processes": [{"name": 7}]}
    request = agent_pb2.ListProcessesRequest(selector=selector("web"), tree=True)
    error = refusal(lambda: list(gateway.stub().ListProcesses(request, timeout=SECONDS)))
    assert error.code == "TREE_MALFORMED"
