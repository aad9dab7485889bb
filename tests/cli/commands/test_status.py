"""`fleetctl status`, on this host and on many."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fakes.door import Conversation, fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import ROWS, answers_status, missing
from fakes.process_rows import position_row, process_row
from fakes.scripted_controller import (
    ScriptedController,
    plain_flags,
    reach,
    scripted_controller,
    silent,
    status_of,
)
from fleet_api import tree_wire, wire
from fleet_api.errors import BadRequest
from fleet_api.frames import Frame
from fleet_api.rows import TroubleRow
from fleet_api.v1 import controller_pb2
from fleet_cli.terminal import Terminal

TUTORIAL = "hello_world                      RUNNING   pid 180772, uptime 0:01:31"


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


@pytest.fixture(scope="module")
def shared() -> Iterator[ScriptedController]:
    with scripted_controller() as controller:
        yield controller


@pytest.fixture
def controller(shared: ScriptedController) -> ScriptedController:
    shared.requests.clear()
    return shared


def remote(controller: ScriptedController, *arguments: str, **options: object) -> Result:
    return run("status", *arguments, *plain_flags(controller), **options)


# ---------------------------------------------------------------- this host


def test_local_is_supervisorctls_output_sorted_by_group_and_process(path: str) -> None:
    with fake_door(path, {"status": answers_status()}) as fake:
        result = run("status", "--door", path)
    assert result == Result(
        0,
        f"{TUTORIAL}\n"
        "web:web_00                       RUNNING   pid 11, uptime 0:01:31\n"
        "web:web_01                       RUNNING   pid 12, uptime 0:01:31\n",
        "",
    )
    assert fake.requests[0]["terms"] == []


def test_names_are_passed_on_as_they_are(path: str) -> None:
    with fake_door(path, {"status": answers_status()}) as fake:
        run("status", "web:*", "größe", "w?b", "all", "--door", path)
    assert fake.requests[0]["terms"] == ["web:*", "größe", "w?b", "all"]


def test_an_unknown_name_is_told_first_and_is_code_2(path: str) -> None:
    with fake_door(path, {"status": answers_status(ROWS[2:], [missing("x")])}):
        result = run("status", "hello_world", "x", "--door", path)
    assert result.code == 2
    assert result.lines == ["x: ERROR (no such process)", TUTORIAL]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("RUNNING", 0),
        ("STARTING", 0),
        ("BACKOFF", 0),
        ("STOPPING", 0),
        ("STOPPED", 3),
        ("EXITED", 3),
        ("FATAL", 3),
        ("UNKNOWN", 3),
    ],
)
def test_exit_code_by_state(path: str, state: str, code: int) -> None:
    with fake_door(path, {"status": answers_status([*ROWS, process_row("x", state)])}):
        assert run("status", "--door", path).code == code


def test_no_agent(path: str, tmp_path: Path) -> None:
    result = run("status", "--door", str(tmp_path / "none" / "door.sock"))
    assert result.code == 4
    assert result.out == ""
    assert "no agent runs here" in result.err
    assert "hint: start one with fleet-agent run" in result.err


def test_no_agent_as_json_is_an_answer_too(tmp_path: Path) -> None:
    result = run("status", "-o", "json", "--door", str(tmp_path / "none" / "door.sock"))
    assert result.code == 4
    assert result.json["hosts"][0]["bucket"] == "unreachable"
    assert result.json["hosts"][0]["error"]["code"] == "DOOR_NOT_FOUND"
    assert result.json["summary"]["exit_code"] == 4


def test_colour_only_for_a_terminal(path: str) -> None:
    with fake_door(path, {"status": answers_status()}):
        assert "\x1b[32mRUNNING" in run("status", "--door", path, terminal=Terminal(80, has_colour=True)).out
        assert "\x1b" not in run("status", "--door", path, terminal=Terminal(80)).out


@pytest.mark.parametrize("output", ["wide", "name", "json", "jsonl"])
def test_local_outputs(path: str, output: str) -> None:
    with fake_door(path, {"status": answers_status()}):
        result = run("status", "-o", output, "--door", path)
    assert result.code == 0
    if output == "name":
        assert result.lines == ["hello_world", "web:web_00", "web:web_01"]
    elif output == "wide":
        assert result.lines[0].split() == ["HOST", "PROCESS", "STATE", "RUN", "AS", "OF", "DESCRIPTION"]
        assert result.lines[1].split()[:3] == ["web1", "hello_world", "RUNNING"]
    elif output == "json":
        assert [process["name"] for process in result.json["hosts"][0]["processes"]] == [
            row["name"] for row in ROWS
        ]
    else:
        first, last = map(json.loads, result.lines)
        assert (first["record"], first["host"], last["record"]) == ("host", "web1", "summary")


def test_an_empty_agent_prints_nothing(path: str) -> None:
    with fake_door(path, {"status": answers_status([])}):
        assert run("status", "--door", path) == Result(0, "", "")


# ---------------------------------------------------------------- many hosts


def test_many_hosts_are_folded(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [
        *(status_of(f"web{number}", process_row("web")) for number in (3, 1, 2)),
        status_of("web4", process_row("web", "FATAL", description="spawn error")),
        silent("web5", "web5:7601 refuses connections", "is the agent running there?"),
    ]
    result = remote(controller, "--all-hosts", "web")
    assert result == Result(
        4,
        "web  RUNNING  3/4  web[1-3]\n"
        "     FATAL    1/4  web4\n"
        "       spawn error\n"
        "\n"
        "UNREACHABLE  web5  web5:7601 refuses connections (last seen 4m ago)\n",
        "hint (web5): is the agent running there?\n5 hosts: 4 ok, 1 unreachable\n",
    )
    request = controller.last(controller_pb2.GetStatusRequest)
    assert request.hosts.all_hosts
    assert list(request.selector.terms) == ["web"]


def test_an_expression_goes_to_the_controller_as_it_is(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [status_of("web1", process_row("web"))]
    remote(controller, "-H", "@web,!web[3-4]")
    request = controller.last(controller_pb2.GetStatusRequest)
    assert (request.hosts.expression, request.hosts.all_hosts) == ("@web,!web[3-4]", False)


def test_one_host_is_printed_as_if_one_were_there(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [status_of("web1", process_row("hello_world"))]
    assert remote(controller, "-H", "web1") == Result(0, f"{TUTORIAL}\n", "")


def test_one_host_in_several_messages_is_one_answer(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [
        status_of("web1", process_row("a"), more=True),
        status_of("web2", process_row("a")),
        status_of("web1", process_row("b")),
    ]
    result = remote(controller, "--all-hosts", "-o", "json")
    assert [[process["name"] for process in host["processes"]] for host in result.json["hosts"]] == [
        ["a", "b"],
        ["a"],
    ]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([], 7),
        ([status_of("a", process_row("w"))], 0),
        ([status_of("a", process_row("w", "STOPPED"))], 3),
        ([status_of("a", process_row("w", "STOPPED")), silent("b", "x")], 4),
        ([status_of("a", process_row("w"), missing=["x"]), status_of("b", missing=["x"])], 2),
        ([status_of("a", process_row("w")), status_of("b", missing=["w"])], 0),
        ([status_of("a", missing=["x"]), silent("b", "x")], 6),
        ([status_of("a", bucket=controller_pb2.HostOutcome.REFUSED)], 2),
        ([status_of("a", bucket=controller_pb2.HostOutcome.TIMED_OUT)], 4),
        ([status_of("a", bucket=99)], 4),
        ([status_of("a", bucket=controller_pb2.HostOutcome.BUCKET_UNSPECIFIED)], 4),
    ],
)
def test_exit_codes(controller: ScriptedController, answers: list[object], code: int) -> None:
    controller.on_status = lambda request: answers
    for output in ("table", "wide", "json", "jsonl", "name"):
        result = remote(controller, "--all-hosts", "-o", output)
        assert result.code == code, output
        if output == "json":
            assert result.json["summary"]["exit_code"] == code


def test_what_the_controller_refuses(controller: ScriptedController) -> None:
    def refuse(request: object) -> list[object]:
        raise BadRequest("UNKNOWN_HOST", "the inventory does not know wbe1", "`fleetctl hosts` lists it")

    controller.on_status = refuse
    result = remote(controller, "-H", "wbe1")
    assert result == Result(
        1, "", "error: the inventory does not know wbe1\nhint: `fleetctl hosts` lists it\n"
    )


def test_no_host_at_all_has_its_own_code(controller: ScriptedController) -> None:
    def refuse(request: object) -> list[object]:
        raise BadRequest("EMPTY_TARGET", "the inventory holds no host")

    controller.on_status = refuse
    assert remote(controller, "--all-hosts").code == 7


def test_json_is_the_same_for_local_and_remote(controller: ScriptedController, path: str) -> None:
    controller.on_status = lambda request: [status_of("web1", *ROWS)]
    there = remote(controller, "--all-hosts", "-o", "json").json
    with fake_door(path, {"status": answers_status()}):
        here = run("status", "-o", "json", "--door", path).json
    assert here.keys() == there.keys()
    assert here["hosts"][0].keys() == there["hosts"][0].keys()
    assert here["hosts"][0]["processes"] == there["hosts"][0]["processes"]
    assert here["summary"] == there["summary"]


def test_jsonl_ends_with_a_summary(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [
        status_of("web2", process_row("w")),
        status_of("web1", missing=["w"]),
        silent("web3", "no"),
    ]
    records = [json.loads(line) for line in remote(controller, "--all-hosts", "-o", "jsonl", "w").lines]
    assert [record.get("host") for record in records] == ["web2", "web3", "web1", None]
    assert [record["schema"] for record in records] == ["fleetctl/v1"] * 4
    assert (records[-1]["targets"], records[-1]["ok"], records[-1]["exit_code"]) == (3, 2, 4)


def test_names_of_many_hosts_are_behind_their_host(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [
        status_of("web2", process_row("w_01", group="w"), process_row("w_00", group="w")),
        status_of("web1", process_row("a")),
    ]
    assert remote(controller, "--all-hosts", "-o", "name").lines == ["web1 a", "web2 w:w_00", "web2 w:w_01"]


def test_a_late_host_is_not_shown_as_fresh(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [
        status_of("web1", process_row("w"), reachability=reach("LATE", 12.0))
    ]
    assert "shown as of 12s ago" in remote(controller, "-H", "web1").out


def test_two_ways_to_name_hosts_exclude_each_other(controller: ScriptedController) -> None:
    result = remote(controller, "-H", "a", "--all-hosts")
    assert (result.code, controller.requests) == (1, [])
    assert "exclude each other" in result.err


def test_an_empty_expression_does_not_fall_back_to_this_host(
    controller: ScriptedController, path: str
) -> None:
    def refuse(request: controller_pb2.GetStatusRequest) -> list[object]:
        assert not request.hosts.all_hosts
        raise BadRequest("EMPTY_TARGET", "no host is named")

    controller.on_status = refuse
    with fake_door(path, {"status": answers_status()}) as fake:
        assert remote(controller, "-H", "", "--door", path).code == 7
        assert fake.requests == []


def test_ctrl_c_prints_what_came_and_is_130(
    controller: ScriptedController, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleet_cli.views.progress import Progress

    def interrupt(self: Progress, answer: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "count", interrupt)
    controller.on_status = lambda request: [status_of(f"web{number}", process_row("w")) for number in (1, 2)]
    result = remote(controller, "--all-hosts")
    assert result.code == 130
    assert "RUNNING" in result.out
    assert result.err == "interrupted; so far 1 host: 1 ok\n"


# ---------------------------------------------------------------- descendants


WITH_TREE = process_row(
    "web",
    pid=10,
    tree=[
        {
            "pid": 10,
            "parent": 1,
            "depth": 0,
            "command": "web --serve",
            "state": "S",
            "cpu_seconds": 1.5,
            "memory_bytes": 2 * 1024 * 1024,
        }
    ],
    tree_size=1,
)
MEMBER = "        10      1.50s     2.0M  web --serve"


def tree_of(host: str) -> controller_pb2.HostStatus:
    return controller_pb2.HostStatus(
        host=host,
        bucket=controller_pb2.HostOutcome.OK,
        reachability=reach(),
        processes=[tree_wire.process_to_proto(WITH_TREE)],
    )


def test_a_local_tree(path: str) -> None:
    with fake_door(path, {"tree": answers_status([WITH_TREE])}) as fake:
        result = run("status", "--tree", "web", "--door", path)
        assert [frame["terms"] for frame in fake.requests if frame["do"] == "tree"] == [["web"]]
    assert result.code == 0
    assert MEMBER in result.out


def test_trees_of_many_hosts_are_asked_for_and_stand_below_their_host(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [tree_of("web1"), tree_of("web2"), silent("db1", "no route")]
    result = remote(controller, "--tree", "web", "--all-hosts", "--timeout", "7")
    request = controller.last(controller_pb2.GetStatusRequest)
    assert (request.tree, request.host_timeout.seconds) == (True, 7)
    lines = result.out.splitlines()
    assert lines[1] == "db1: unreachable: no route"
    assert [line for line in lines if line.endswith(":")] == ["web1:", "web2:"]
    assert lines.count(MEMBER) == 2
    assert result.code == 4


def test_a_tree_as_json_is_the_same_for_local_and_remote(controller: ScriptedController, path: str) -> None:
    controller.on_status = lambda request: [tree_of("web1")]
    far = json.loads(remote(controller, "--tree", "-H", "web1", "-o", "json").out)
    with fake_door(path, {"tree": answers_status([WITH_TREE])}):
        near = json.loads(run("status", "--tree", "-o", "json", "--door", path).out)
    assert far["hosts"][0]["processes"] == near["hosts"][0]["processes"]
    assert near["hosts"][0]["processes"][0]["tree"][0]["command"] == "web --serve"


def test_without_the_flag_nobody_is_asked_for_trees(controller: ScriptedController) -> None:
    controller.on_status = lambda request: [status_of("web1", process_row("web"))]
    remote(controller, "-H", "web1")
    assert not controller.last(controller_pb2.GetStatusRequest).tree


# ---------------------------------------------------------------- troubles

TROUBLE = {
    "kind": "journal",
    "subject": "",
    "message": "journal is full",
    "since": 1.0,
    "count": 3,
    "lost_bytes": 0,
}


def test_what_this_host_cannot_do_is_told_beside_the_processes(path: str) -> None:
    def status(talk: Conversation, request: Frame) -> None:
        talk.ok(request, position=position_row(), now=0.0, processes=ROWS, errors=[], troubles=[TROUBLE])

    with fake_door(path, {"status": status}):
        result = run("status", "--door", path)
        assert result.code == 0
        assert result.lines[0] == TUTORIAL
        assert "trouble: journal is full (3 times, first " in result.err
        assert run("status", "-o", "json", "--door", path).json["hosts"][0]["troubles"] == [TROUBLE]


def test_what_other_hosts_cannot_do_is_told_with_their_names(controller: ScriptedController) -> None:
    trouble = wire.trouble_to_proto(cast(TroubleRow, TROUBLE))
    controller.on_status = lambda request: [
        status_of("web1", process_row("a")),
        status_of("web2", process_row("a"), troubles=[trouble]),
    ]
    result = remote(controller, "--all-hosts")
    assert "web2: trouble: journal is full (3 times" in result.err
    assert "web1: trouble" not in result.err
