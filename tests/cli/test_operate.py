"""A change on many hosts: the question, the sending, the buckets."""

import io
import json
from collections.abc import Iterator

import pytest
from fakes.fleetctl import Result, run, screen
from fakes.process_rows import outcome_row
from fakes.scripted_controller import (
    ScriptedController,
    listing,
    outcome_of,
    plain_flags,
    reach,
    scripted_controller,
)
from fleet_api.errors import BadRequest, Denied, Unavailable
from fleet_api.rows import ErrorRow
from fleet_api.v1 import agent_pb2, controller_pb2
from fleet_cli import main
from fleet_cli.terminal import Terminal

LIST, OPERATE = controller_pb2.ListHostsRequest, controller_pb2.OperateFleetRequest


@pytest.fixture(scope="module")
def shared() -> Iterator[ScriptedController]:
    with scripted_controller() as controller:
        yield controller


@pytest.fixture
def controller(shared: ScriptedController) -> ScriptedController:
    shared.requests.clear()
    shared.on_hosts = lambda request: [listing("web2", "web1"), listing("web3")]
    shared.on_operate = lambda request: [
        outcome_of(f"web{number}", outcome_row("web")) for number in (1, 2, 3)
    ]
    return shared


class InterruptedStdin(io.StringIO):
    """Somebody who answers with Ctrl-C."""

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        raise KeyboardInterrupt


def test_ctrl_c_at_the_question_sends_nothing(controller: ScriptedController) -> None:
    made = screen(terminal=Terminal(80, can_ask=True))
    invocation = made.invocation._replace(stdin=InterruptedStdin())
    result = made.result(main.run(["stop", "web", "--all-hosts", *plain_flags(controller)], invocation))
    assert result == Result(130, "", "Stop web on 3 hosts (web[1-3])? [y/N] \nnothing was sent\n")
    assert controller.count(OPERATE) == 0


def stop(controller: ScriptedController, *arguments: str, **options: object) -> Result:
    return run("stop", *arguments, *plain_flags(controller), **options)


def test_asks_first_then_sends_to_the_hosts_that_were_agreed_to(controller: ScriptedController) -> None:
    result = stop(
        controller,
        "web",
        "-H",
        "@web",
        "--reason",
        "größer",
        terminal=Terminal(80, can_ask=True),
        answer="y\n",
    )
    assert result.code == 0
    assert result.out == "web  stopped  3/3  web[1-3]\n"
    assert result.err == "Stop web on 3 hosts (web[1-3])? [y/N] 3 hosts: 3 ok\n"
    assert controller.last(LIST).hosts.expression == "@web"
    request = controller.last(OPERATE)
    assert (request.hosts.expression, request.hosts.all_hosts) == ("web[1-3]", False)
    assert (request.verb, list(request.selector.terms)) == (agent_pb2.OperateRequest.STOP, ["web"])
    assert (request.context.operation_id, request.context.idempotency_key) == ("id-1", "id-2")
    assert (request.context.actor, request.context.reason) == ("alice", "größer")
    assert request.context.fleet_id == "test"
    assert not request.no_wait
    assert not request.HasField("host_timeout")


def test_a_no_sends_nothing(controller: ScriptedController) -> None:
    result = stop(controller, "web", "--all-hosts", terminal=Terminal(80, can_ask=True), answer="n\n")
    assert (result.code, controller.count(OPERATE)) == (1, 0)
    assert result.err.endswith("nothing was sent\n")


def test_without_a_terminal_and_without_yes_nothing_is_sent(controller: ScriptedController) -> None:
    result = stop(controller, "web", "--all-hosts", answer="y\n")
    assert (result.code, controller.count(OPERATE)) == (1, 0)
    assert "--yes" in result.err


@pytest.mark.parametrize("flag", ["--yes", "-y"])
def test_yes_asks_nothing(controller: ScriptedController, flag: str) -> None:
    result = stop(controller, "web", "--all-hosts", flag)
    assert (result.code, result.err) == (0, "3 hosts: 3 ok\n")


def test_one_host_needs_no_question_and_is_printed_like_this_one(controller: ScriptedController) -> None:
    controller.on_hosts = lambda request: [listing("web1")]
    controller.on_operate = lambda request: [outcome_of("web1", outcome_row("web_00", group="web"))]
    assert stop(controller, "web:*", "-H", "web1") == Result(0, "web:web_00: stopped\n", "")


def test_no_host_is_an_error_with_its_own_code(controller: ScriptedController) -> None:
    controller.on_hosts = lambda request: []
    result = stop(controller, "web", "--all-hosts", "--yes")
    assert (result.code, controller.count(OPERATE)) == (7, 0)


def test_options_go_with_it(controller: ScriptedController) -> None:
    stop(controller, "web", "--all-hosts", "--yes", "--no-wait", "--fanout", "5", "--timeout", "2.5")
    request = controller.last(OPERATE)
    assert (request.no_wait, request.fanout, request.host_timeout.ToTimedelta().total_seconds()) == (
        True,
        5,
        2.5,
    )


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([outcome_of(f"web{number}", outcome_row("web", "unchanged")) for number in (1, 2, 3)], 0),
        (
            [
                outcome_of("web1", outcome_row("web", "failed", "x", "FAILED")),
                outcome_of("web2", outcome_row("web")),
                outcome_of("web3", outcome_row("web")),
            ],
            2,
        ),
        (
            [
                outcome_of("web1", outcome_row("web", "refused", "no")),
                outcome_of("web2", outcome_row("web")),
                outcome_of("web3", bucket="UNREACHABLE"),
            ],
            6,
        ),
        ([outcome_of(f"web{number}", bucket="REFUSED") for number in (1, 2, 3)], 2),
        ([outcome_of("web1"), outcome_of("web2"), outcome_of("web3", bucket="UNKNOWN")], 4),
        ([outcome_of("web1"), outcome_of("web2")], 4),
        ([], 4),
    ],
)
def test_exit_codes(controller: ScriptedController, answers: list[object], code: int) -> None:
    controller.on_operate = lambda request: answers
    for output in ("table", "wide", "json", "jsonl", "name"):
        assert stop(controller, "web", "--all-hosts", "--yes", "-o", output).code == code, output


def test_every_target_ends_in_a_bucket_also_without_an_answer(controller: ScriptedController) -> None:
    controller.on_operate = lambda request: [outcome_of("web1", outcome_row("web"))]
    document = stop(controller, "web", "--all-hosts", "--yes", "-o", "json").json
    assert {host["host"]: host["bucket"] for host in document["hosts"]} == {
        "web1": "ok",
        "web2": "unknown",
        "web3": "unknown",
    }
    assert document["operation_id"] == "id-1"
    assert document["kind"] == "change"


def test_a_controller_lost_before_any_answer_leaves_all_unknown(controller: ScriptedController) -> None:
    def lost(request: object) -> list[object]:
        raise Unavailable("GONE", "the controller is gone")

    controller.on_operate = lost
    result = stop(controller, "web", "--all-hosts", "--yes")
    assert result.code == 4
    assert "UNKNOWN  web[1-3]  " in result.out
    assert "the controller is gone" in result.err
    assert "(operation id-1)" in result.err


def test_a_refused_change_was_not_carried_out(controller: ScriptedController) -> None:
    def refuse(request: object) -> list[object]:
        raise Denied("NOT_AN_OPERATOR", "user/alice may not")

    controller.on_operate = refuse
    assert stop(controller, "web", "--all-hosts", "--yes") == Result(9, "", "error: user/alice may not\n")


def test_a_controller_that_is_replaced_is_asked_with_the_same_key(controller: ScriptedController) -> None:
    def leave_once(request: object) -> Iterator[object]:
        yield outcome_of("web1", outcome_row("web"))
        if controller.count(OPERATE) == 1:
            raise Unavailable("CONTROLLER_LEAVING", "the controller is leaving")
        yield outcome_of("web2", outcome_row("web"))
        yield outcome_of("web3", outcome_row("web"))

    controller.on_operate = leave_once
    result = stop(controller, "web", "--all-hosts", "--yes")
    assert result == Result(0, "web  stopped  3/3  web[1-3]\n", "3 hosts: 3 ok\n")
    keys = [
        request.context.idempotency_key for request in controller.requests if isinstance(request, OPERATE)
    ]
    assert keys == ["id-2", "id-2"]


def test_ctrl_c_leaves_the_rest_unknown_and_is_130(
    controller: ScriptedController, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet_cli.views.progress import Progress

    def interrupt(self: Progress, answer: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "count", interrupt)
    result = stop(controller, "web", "--all-hosts", "--yes", "-o", "jsonl")
    records = [json.loads(line) for line in result.lines]
    assert result.code == 130
    assert (records[-1]["ok"], records[-1]["unknown"], records[-1]["interrupted"]) == (1, 2, True)
    assert result.err.endswith("interrupted; so far 3 hosts: 1 ok, 2 unknown (operation id-1)\n")


def test_jsonl_names_every_target(controller: ScriptedController) -> None:
    controller.on_operate = lambda request: [outcome_of("web2", outcome_row("web"))]
    records = [json.loads(line) for line in stop(controller, "web", "--all-hosts", "-y", "-o", "jsonl").lines]
    assert sorted(record["host"] for record in records[:-1]) == ["web1", "web2", "web3"]


def test_an_unknown_program_on_a_host_fails_that_host(controller: ScriptedController) -> None:
    def answers(request: object) -> list[object]:
        lost = outcome_of("web3")
        lost.errors.add(code="NO_SUCH_PROCESS", message="web: no such process")
        return [outcome_of("web1", outcome_row("web")), outcome_of("web2", outcome_row("web")), lost]

    controller.on_operate = answers
    result = stop(controller, "web", "--all-hosts", "-y")
    assert result.code == 2
    assert "FAILED  web3  web: no such process" in result.out


def test_what_the_controller_says_of_the_hosts(controller: ScriptedController) -> None:
    def refuse(request: object) -> list[object]:
        raise BadRequest("UNKNOWN_HOST", "the inventory does not know x")

    controller.on_hosts = refuse
    assert stop(controller, "web", "-H", "x", "-y").code == 1
    assert controller.count(OPERATE) == 0


def test_a_silent_host_is_told_with_when_it_was_last_seen(controller: ScriptedController) -> None:
    def seen(request: object) -> list[object]:
        both = listing("web1", "web2")
        both.hosts[1].reachability.CopyFrom(reach("UNREACHABLE", 240.0))
        return [both]

    error = ErrorRow(code="NO_ROUTE", message="no route to web2:7601", hint="")
    controller.on_hosts = seen
    controller.on_operate = lambda request: [
        outcome_of("web1", outcome_row("web")),
        outcome_of("web2", bucket="UNREACHABLE", error=error),
    ]
    result = stop(controller, "web", "--all-hosts", "-y")
    assert "UNREACHABLE  web2  no route to web2:7601 (last seen 4m ago)" in result.out
