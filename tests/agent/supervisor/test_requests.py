"""Every request is answered as the door promises, and every wrong argument of it in words."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import fleet_agent.supervisor.log_answers as log_answers
import fleet_agent.supervisor.requests as room
import pytest
from fakes.asked_requests import World
from fakes.loop_turns import turn_until
from fakes.small_roster import at_once
from fleet_agent.core import events
from fleet_agent.core.model import LogSpec, State
from fleet_agent.supervisor.logs.worker import LogDescribed, LogGrew, LogRotated
from fleet_agent.supervisor.trees.showing import Shown
from fleet_api import selection
from fleet_api.errors import NotFound
from fleet_api.frames import Frame
from fleet_api.rows import TreeRow


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, is_gateway=True)
    yield world
    world.close()


def code(answer: Frame) -> str:
    return str(answer["error"]["code"])


# ------------------------------------------------------------------------------------------ reads


def test_hello_says_who_answers(world: World) -> None:
    hello = world.ask("hello", extra=1)["ok"]
    expected = {
        "version": "1.2.3",
        "api_level": room.API_LEVEL,
        "features": room.FEATURES,
        "host_id": "host-1",
        "pid": 7,
        "supervisor_pid": os.getpid(),
        "gateway_pid": 55,
        "identifier": "supervisor",
        "start_time": 4000.0,
        "position": {"agent_id": "host-1", "incarnation": "inc", "sequence": 0},
        "config_path": "/etc/agent.conf",
        "grpc": "",
    }
    assert hello.items() >= expected.items()


def test_ping_carries_the_number_of_the_last_change(world: World) -> None:
    world.roster.apply("g:a", events.StartAsked("test"))
    assert world.ask("ping")["ok"] == {
        "monotonic": 1000.0,
        "sequence": 1,
        "keeper_owes": 0.0,
        "troubles": [],
    }


def test_status_of_terms(world: World) -> None:
    status = world.ask("status", terms=["g:a", "g:q*", "nobody"])["ok"]
    assert [row["name"] for row in status["processes"]] == ["a", "quiet"]
    assert [error["code"] for error in status["errors"]] == ["NO_SUCH_PROCESS"]
    assert status["now"] == 5000.0
    for terms in ([], ["all"], ["g:*"]):
        assert len(world.ask("status", terms=terms)["ok"]["processes"]) == 4
    assert len(world.ask("status")["ok"]["processes"]) == 4


def test_too_many_terms_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "MAX_TERMS", 5)
    monkeypatch.setattr(selection, "MAX_PATTERNS", 2)
    assert "ok" in world.ask("status", terms=["g:a"] * 3 + ["g:?"] * 2)
    assert code(world.ask("status", terms=["g:a"] * 6)) == "TOO_MANY_TERMS"
    assert code(world.ask("status", terms=["g:?"] * 3)) == "TOO_MANY_TERMS"


def test_watch_begins_and_ends(world: World) -> None:
    number = world.begin("watch")
    (item,) = world.client.hear(1)
    assert len(item["item"]["snapshot"]) == 4
    world.roster.apply("g:a", events.StartAsked("test"))
    assert world.client.hear(1)[0]["item"]["event"]["sequence"] == 1
    assert world.client.ask({"id": number, "do": "cancel"}) == [{"id": number, "ok": {}}]
    world.roster.apply("g:b", events.StartAsked("test"))
    assert world.client.hears_nothing()
    assert code(world.ask("watch", after="then")) == "BAD_POSITION"


# ---------------------------------------------------------------------------------------- changes


def test_an_operation_is_answered_when_it_is_done(world: World) -> None:
    context = {"operation_id": "op-1", "key": "k", "reason": "deploy\n2026 forged"}
    world.begin("operate", verb="start", terms=["g:a", "nobody"], context=context)
    turn_until(world.turns, lambda: world.effects)
    world.spawned("a")
    (answer,) = world.client.hear(1)
    result = answer["ok"]
    assert result["operation_id"] == "op-1"
    assert [(o["name"], o["result"]) for o in result["outcomes"]] == [("a", "ok")]
    assert [error["code"] for error in result["errors"]] == ["NO_SUCH_PROCESS"]
    assert result["position"]["sequence"] == world.journal.sequence
    assert world.ask("operation", key="k")["ok"] == {**result, "replayed": True}


def test_who_asked_and_why_is_one_line_of_the_reason(world: World) -> None:
    context = {"actor": "spiffe://f/user/mallory", "reason": "deploy\n2026 forged\x1b[0m"}
    world.ask("operate", verb="start", terms=["g:a"], wait=False, context=context)
    assert world.process("a").reason == "start asked by root: deploy 2026 forged [0m"


def test_only_the_gateway_speaks_for_others(gateway: World) -> None:
    gateway.ask("operate", verb="start", terms=["g:a"], wait=False, context={"actor": "user/ann"})
    assert gateway.process("a").reason == "start asked by user/ann"
    gateway.ask("operate", verb="start", terms=["g:b"], wait=False)
    assert gateway.process("b").reason == "start asked by root"


def test_signals_have_names(world: World) -> None:
    world.roster.apply("g:a", events.StartAsked("test"))
    world.spawned("a")
    world.ask("operate", verb="signal", terms=["g:a"], signal="usr1")
    assert world.effects[-1] == ("a", events.SendSignal(1, 10, 1))
    answer = world.ask("operate", verb="signal", terms=["g:a"], signal="LOUD")
    assert code(answer) == "BAD_VALUE"
    assert "not a valid signal name" in answer["error"]["message"]


def test_stops_come_in_the_reverse_order(world: World) -> None:
    for name in ("a", "b", "quiet"):
        world.roster.apply(f"g:{name}", events.StartAsked("test"))
        world.spawned(name)
    del world.effects[:]
    world.ask("operate", verb="stop", terms=["g:a", "g:quiet", "g:b"], wait=False)
    assert [name for name, _ in world.effects] == ["quiet", "b", "a"]


def test_an_agent_that_stops_takes_no_change(world: World) -> None:
    world.refusal = "the agent is stopping everything"
    answer = world.ask("operate", verb="start", terms=["all"])
    assert (code(answer), answer["error"]["message"]) == ("SHUTTING_DOWN", world.refusal)
    assert "ok" in world.ask("status", terms=[])


def test_a_client_that_leaves_does_not_undo_what_it_asked(world: World) -> None:
    world.begin("operate", verb="start", terms=["g:a"], context={"key": "k"})
    turn_until(world.turns, lambda: world.effects)
    world.client.sock.close()
    turn_until(world.turns, lambda: not world.session.is_open)
    world.spawned("a")
    assert world.process("a").state is State.RUNNING


def test_an_older_epoch_is_refused_and_a_bad_request_claims_none(world: World) -> None:
    context = {"fleet_id": "prod", "epoch": 5}
    assert code(world.ask("operate", verb="fly", terms=["all"], context=context)) == "UNKNOWN_VERB"
    low = {"fleet_id": "prod", "epoch": 3}
    assert "ok" in world.ask("operate", verb="stop", terms=["all"], context=low)
    assert "ok" in world.ask("operate", verb="stop", terms=["all"], context=context)
    assert code(world.ask("operate", verb="stop", terms=["all"], context=low)) == "STALE_EPOCH"


def test_a_change_of_a_new_epoch_is_begun_once_that_is_kept(world: World) -> None:
    acts: list[Callable[[], None]] = []
    world.aside = lambda act, done: acts.append(lambda: at_once(act, done))
    asked = {"verb": "start", "terms": ["g:a"], "wait": False}
    left = world.begin("operate", **asked, context={"fleet_id": "prod", "epoch": 5})
    assert "ok" in world.ask("ping"), "others are answered meanwhile"
    world.client.say({"id": left, "do": "cancel"})
    assert world.client.hear(1) == [{"id": left, "ok": {}}]
    number = world.begin("operate", **{**asked, "terms": ["g:b"]}, context={"fleet_id": "prod", "epoch": 5})
    old = world.begin("operate", **asked, context={"fleet_id": "prod", "epoch": 4})
    assert "ok" in world.ask("operate", **{**asked, "terms": ["g:quiet"]}), "no epoch is no claim"
    assert [name for name, _ in world.effects] == ["quiet"]
    (act,) = acts
    act()
    answers = {answer["id"]: answer for answer in world.client.hear(2)}
    assert answers[number]["ok"]["outcomes"][0]["result"] == "ok"
    assert code(answers[old]) == "STALE_EPOCH"
    assert [name for name, _ in world.effects] == ["quiet", "b"], "who gave up has begun nothing"


def test_an_upgrade_waits_for_its_epoch(world: World) -> None:
    acts: list[Callable[[], None]] = []
    world.aside = lambda act, done: acts.append(lambda: at_once(act, done))
    number = world.begin("upgrade", python="", context={"key": "k", "fleet_id": "prod", "epoch": 5})
    assert "ok" in world.ask("ping")
    assert world.upgrading.asked == []
    acts.pop()()
    (answer,) = world.client.hear(1)
    assert (answer["id"], len(world.upgrading.asked)) == (number, 1)


WRONG: list[object] = [None, 7, -1, 1.5, True, [], {}, [1], [[]], {"a": 1}, "", "x" * 300_000]


@pytest.mark.parametrize(
    ("do", "argument"),
    [
        *(("status", name) for name in ("terms",)),
        *(("operate", name) for name in ("verb", "terms", "signal", "wait", "context")),
        *(("operation", name) for name in ("key",)),
        *(("watch", name) for name in ("after",)),
        *((do, name) for do in ("open_log", "follow_log") for name in ("process", "stream")),
        *(("ping", name) for name in ("x",)),
        *(("configure", name) for name in ("x",)),
    ],
)
def test_wrong_arguments_are_answered(world: World, do: str, argument: str) -> None:
    good: dict[str, object] = {
        "status": {},
        "operate": {"verb": "signal", "terms": ["g:a"], "signal": "HUP"},
        "operation": {},
        "watch": {},
        "open_log": {"process": "g:a"},
        "follow_log": {"process": "g:a"},
        "ping": {},
        "configure": {},
    }[do]  # type: ignore[assignment]
    for value in WRONG:
        number = world.begin(do, **{**cast(dict[str, Any], good), argument: value})
        world.client.say({"id": 9999, "do": "ping"})
        heard = world.client.hear(1)
        while heard[-1]["id"] != 9999:
            heard += world.client.hear(1)
        for frame in heard[:-1]:
            assert frame["id"] == number
            if "error" in frame:
                assert frame["error"]["code"] != "INTERNAL", frame
                assert len(frame["error"]["message"]) < 500
        world.client.say({"id": number, "do": "cancel"})
        world.client.hears_nothing()
        del world.client.heard[:]


@pytest.mark.parametrize("key", ["operation_id", "key", "actor", "reason", "fleet_id", "epoch"])
def test_wrong_contexts_are_answered_and_do_nothing(world: World, key: str) -> None:
    for value in WRONG:
        if value in ("", 7) and value is not True:
            continue
        answer = world.ask("operate", verb="start", terms=["g:a"], wait=False, context={key: value})
        assert code(answer) == "BAD_ARGUMENT", value
        assert f"`{key}`" in answer["error"]["message"]
    assert world.effects == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"verb": "fly", "terms": ["all"]}, "UNKNOWN_VERB"),
        ({"verb": "", "terms": ["all"]}, "UNKNOWN_VERB"),
        ({"terms": ["all"]}, "UNKNOWN_VERB"),
        ({"verb": "start", "terms": []}, "EMPTY_TARGET"),
        ({"verb": "start"}, "EMPTY_TARGET"),
        ({"verb": "start", "terms": ["all"], "wait": "no"}, "BAD_ARGUMENT"),
        ({"verb": "start", "terms": ["all"], "wait": None}, "BAD_ARGUMENT"),
        ({"verb": "start", "terms": "all"}, "BAD_ARGUMENT"),
        ({"verb": "start", "terms": ["all"], "context": []}, "BAD_ARGUMENT"),
        ({"verb": "start", "terms": ["all"], "context": 0}, "BAD_ARGUMENT"),
        ({"verb": "signal", "terms": ["all"]}, "BAD_VALUE"),
        ({"verb": "signal", "terms": ["all"], "signal": "9" * 5000}, "BAD_VALUE"),
    ],
)
def test_operations_that_say_too_little(world: World, arguments: dict[str, Any], expected: str) -> None:
    assert code(world.ask("operate", **arguments)) == expected
    assert world.effects == []


def test_an_operation_on_nothing_is_answered_at_once(world: World) -> None:
    result = world.ask("operate", verb="stop", terms=["nobody", "g:z*"])["ok"]
    assert result["outcomes"] == []
    assert len(result["errors"]) == 2


def test_an_unknown_key_and_an_unknown_request(world: World) -> None:
    assert code(world.ask("operation", key="never")) == "OPERATION_NOT_FOUND"
    assert code(world.ask("fly" * 1000)) == "UNKNOWN_REQUEST"
    assert code(world.ask("__class__")) == "UNKNOWN_REQUEST"


# ------------------------------------------------------------------------------------------- logs


def opened() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def test_a_log_is_handed_out(world: World) -> None:
    number = world.begin("open_log", process="g:a", stream="stderr")
    request = world.log_request()
    assert world.logs.described == [(request, "g:a", "stderr", LogSpec("/log/err"), False)]
    before = len(os.listdir("/proc/self/fd"))
    fds = [opened(), opened()]
    world.requests.on_log_result(LogDescribed(request, "id-1", [(0, fds[0]), (70, fds[1])], 99))
    (answer,) = world.client.hear(1)
    assert answer == {
        "id": number,
        "ok": {"log_id": "id-1", "segments": [{"start": 0}, {"start": 70}], "end": 99},
        "fds": 2,
    }
    assert len(world.client.fds) == 2
    assert len(os.listdir("/proc/self/fd")) == before + 2, "ours are closed"


def test_of_more_files_than_fit_a_message_the_newest_are_handed_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_answers, "MAX_SEGMENTS", 3)
    before = len(os.listdir("/proc/self/fd"))
    world.begin("open_log", process="g:a")
    segments = [(number * 10, opened()) for number in range(5)]
    world.requests.on_log_result(LogDescribed(world.log_request(), "id-1", segments, 99))
    (answer,) = world.client.hear(1)
    assert answer["ok"]["segments"] == [{"start": 20}, {"start": 30}, {"start": 40}]
    assert len(os.listdir("/proc/self/fd")) == before + 3


def test_as_many_files_as_are_handed_out_fit_a_message(world: World) -> None:
    world.begin("open_log", process="g:a")
    segments = [(number, opened()) for number in range(log_answers.MAX_SEGMENTS + 10)]
    world.requests.on_log_result(LogDescribed(world.log_request(), "id-1", segments, 999))
    (answer,) = world.client.hear(1)
    assert len(answer["ok"]["segments"]) == len(world.client.fds) == log_answers.MAX_SEGMENTS


def test_a_followed_log_tells_growth_and_rotation_until_cancelled(world: World) -> None:
    before = len(os.listdir("/proc/self/fd"))
    number = world.begin("follow_log", process="g:a")
    request = world.log_request()
    assert world.logs.described[0][2:] == ("stdout", LogSpec("/log/out"), True)
    world.requests.on_log_result(LogDescribed(request, "id-1", [(0, opened())], 5))
    world.requests.on_log_result(LogGrew(request, 9))
    world.requests.on_log_result(LogRotated(request, 9, opened()))
    items = [frame["item"] for frame in world.client.hear(3)]
    assert items[0]["end"] == 5
    assert items[1:] == [{"end": 9}, {"segment": {"start": 9}}]
    assert len(world.client.fds) == 2
    world.client.ask({"id": number, "do": "cancel"})
    assert world.logs.forgotten == [request]
    # What was under way when it was cancelled is closed.
    world.requests.on_log_result(LogRotated(request, 12, opened()))
    world.requests.on_log_result(LogGrew(request, 15))
    world.requests.on_log_result(LogDescribed(request, "id-1", [(0, opened())], 5))
    assert world.client.hears_nothing()
    assert len(os.listdir("/proc/self/fd")) == before + 2


def test_a_follower_that_leaves_is_forgotten(world: World) -> None:
    world.begin("follow_log", process="g:a")
    request = world.log_request()
    world.client.sock.close()
    turn_until(world.turns, lambda: world.logs.forgotten)
    assert world.logs.forgotten == [request]


@pytest.mark.parametrize("do", ["open_log", "follow_log"])
def test_a_log_that_cannot_be_opened_is_told(world: World, do: str) -> None:
    world.begin(do, process="g:a")
    error = NotFound("LOG_NOT_FOUND", "there is none")
    world.requests.on_log_result(LogDescribed(world.log_request(), "", [], 0, error))
    assert code(world.client.hear(1)[0]) == "LOG_NOT_FOUND"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"process": "g:nobody"}, "NO_SUCH_PROCESS"),
        ({"process": ""}, "NO_SUCH_PROCESS"),
        ({}, "NO_SUCH_PROCESS"),
        ({"process": "g:*"}, "NOT_ONE_PROCESS"),
        ({"process": "all"}, "NOT_ONE_PROCESS"),
        ({"process": "g:a", "stream": "stdin"}, "BAD_CHANNEL"),
        ({"process": "g:quiet"}, "NO_LOG_FILE"),
        ({"process": "g:merged", "stream": "stderr"}, "NO_LOG_FILE"),
    ],
)
def test_logs_that_there_are_not(world: World, arguments: dict[str, Any], expected: str) -> None:
    assert code(world.ask("open_log", **arguments)) == expected
    assert world.logs.described == []


# ---------------------------------------------------------------------------------------- gateway


def test_only_the_gateway_is_told_its_configuration(world: World) -> None:
    assert code(world.ask("configure")) == "GATEWAY_ONLY"


def test_the_gateway_is_told_its_configuration(gateway: World) -> None:
    configuration = gateway.ask("configure")["ok"]
    assert (configuration["host_id"], configuration["identifier"]) == ("host-1", "supervisor")


def test_troubles_are_told_to_whoever_asks_for_status_or_version_and_to_the_gateway(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.ask("status")["ok"]["troubles"] == []
    world.troubles.fail("journal", "/j", "is full")
    for do in ("status", "hello", "ping"):
        (trouble,) = world.ask(do)["ok"]["troubles"]
        assert (trouble["message"], trouble["count"]) == ("journal /j is full", 1)
    world.keeper_owes = 3.5
    assert world.ask("ping")["ok"]["keeper_owes"] == 3.5


def test_no_log_is_promised_while_its_disk_stalls(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.busy = 7.0, "/srv/web.log"
    error = world.ask("open_log", process="g:a")["error"]
    assert error["code"] == "LOG_DISK_STALLED"
    assert "stalls at /srv/web.log" in error["message"]
    (trouble,) = world.ask("status")["ok"]["troubles"]
    assert trouble["kind"] == "log disk"


# ---------------------------------------------------------------------------------------- upgrades


def test_an_upgrade_is_asked_for_once_and_by_its_key(gateway: World) -> None:
    context = {"key": "k1", "actor": "user/ann"}
    assert gateway.ask("upgrade", python="/v/bin/python", context=context)["ok"]["result"] == "switching"
    assert gateway.upgrading.asked == [("k1", "/v/bin/python", "user/ann")]
    assert code(gateway.ask("upgrade", python="/v/bin/python", context=context)) == "UPGRADE_REFUSED"
    assert gateway.ask("upgrade_result", key="k1")["ok"] == {"id": "k1", "result": "done"}


def test_an_upgrade_that_is_not_even_tried(world: World) -> None:
    assert code(world.ask("upgrade", python="/v/bin/python")) == "KEY_MISSING"
    assert code(world.ask("upgrade", python=7, context={"key": "k"})) == "BAD_ARGUMENT"
    world.refusal = "the agent is stopping everything"
    assert code(world.ask("upgrade", python="/v/bin/python", context={"key": "k"})) == "SHUTTING_DOWN"
    assert world.upgrading.asked == []


MEMBER = TreeRow(pid=77, parent=1, depth=0, command="x", state="S", cpu_seconds=0.5, memory_bytes=4096)


def test_trees_are_answered_when_they_are_read(world: World) -> None:
    world.trees.shown["g:a"] = Shown([MEMBER], 2)
    number = world.begin("tree", terms=["g:a", "g:quiet", "nope"])
    turn_until(world.turns, lambda: world.trees.replies)
    assert not world.session.is_idle
    world.trees.replies.pop()()
    (answer,) = world.client.hear(1)
    assert answer["id"] == number
    first, second = answer["ok"]["processes"]
    assert (first["name"], first["tree"], first["tree_size"]) == ("a", [MEMBER], 2)
    assert (second["name"], "tree" in second) == ("quiet", False)
    assert len(answer["ok"]["errors"]) == 1
    assert world.session.is_idle


def test_trees_nobody_waits_for_are_answered_to_nobody(world: World) -> None:
    number = world.begin("tree")
    turn_until(world.turns, lambda: world.trees.replies)
    world.client.say({"id": number, "do": "cancel"})
    assert world.client.hear(1) == [{"id": number, "ok": {}}]
    world.trees.replies.pop()()
    assert world.ask("ping")["ok"]


def test_trees_that_cannot_be_read_are_an_error(world: World) -> None:
    world.trees.is_broken = True
    world.begin("tree")
    turn_until(world.turns, lambda: world.trees.replies)
    world.trees.replies.pop()()
    (answer,) = world.client.hear(1)
    assert answer["error"]["code"] == "TREE_FAILED"
