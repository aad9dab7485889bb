"""Logs of many hosts through the controller, each with its own cursor."""

import threading
from collections.abc import Iterator

import pytest
from fakes.conditions import wait_until
from fakes.fleetctl import Screen, read, screen
from fakes.scripted_controller import (
    ScriptedController,
    log_end,
    log_piece,
    scripted_controller,
)
from fleet_api.errors import BadRequest, Unavailable
from fleet_api.hostset import expand
from fleet_api.v1 import controller_pb2
from fleet_cli import remote_log
from fleet_cli.answers import Bucket
from fleet_cli.log_output import Amount, LogOutput
from fleet_cli.remote import Controller
from fleet_cli.remote_log import RemoteLog
from fleet_cli.settings import Settings

LOG = controller_pb2.ReadFleetLogRequest


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_log, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(remote_log, "_LONGEST_PAUSE_SECONDS", 0.1)


@pytest.fixture
def controller() -> Iterator[ScriptedController]:
    with scripted_controller() as controller:
        yield controller


class Reading:
    """A reader of one log on these hosts."""

    def __init__(self, controller: ScriptedController, *hosts: str) -> None:
        self.made: Screen = screen()
        settings = Settings(controller.address, "main", "test", "", "", "", True)
        output = LogOutput(self.made.invocation, list(hosts))
        client = Controller(settings, self.made.invocation, None)
        self.log = RemoteLog(client, hosts, "web:web_00", "stdout", self.made.invocation, output)

    @property
    def out(self) -> str:
        return read(self.made.out)

    @property
    def err(self) -> str:
        return read(self.made.err)


def script(controller: ScriptedController, *answers: list[object]) -> None:
    """Answer the first call with the first list, and so on; then say nothing until the client leaves."""
    left = list(answers)

    def answer(request: object) -> Iterator[object]:
        if not left:
            threading.Event().wait(0.05)
            return
        for piece in left.pop(0):
            if isinstance(piece, Exception):
                raise piece
            yield piece

    controller.on_log = answer


def test_bytes_of_one_host_come_as_they_are(controller: ScriptedController) -> None:
    script(controller, [log_piece("web1", 10, b"a\nb"), log_piece("web1", 13, b"\n")])
    reading = Reading(controller, "web1")
    reading.log.show(Amount(1600))
    assert reading.out == "a\nb\n"
    request = controller.last(LOG)
    assert (request.process, request.last_bytes, request.follow) == ("web:web_00", 1600, False)
    assert request.hosts.expression == "web1"


def test_several_hosts_are_prefixed_and_one_that_fails_is_told(controller: ScriptedController) -> None:
    script(
        controller,
        [
            log_piece("web1", 0, b"a\nb"),
            log_piece("web2", 0, b"x\n", lost_bytes=5),
            log_end("web3", "UNREACHABLE", "NO_ROUTE", "no route"),
            log_piece("web1", 3, b"b\n"),
        ],
    )
    reading = Reading(controller, "web1", "web2", "web3")
    reading.log.show(Amount(1600))
    assert reading.out == "web1 | a\nweb2 | x\nweb1 | bb\n"
    assert "==> web2: 5 bytes are gone" in reading.err
    *fine, lost = reading.log.answers()
    assert [(answer.host, answer.bucket) for answer in fine] == [("web1", Bucket.OK), ("web2", Bucket.OK)]
    assert (lost.host, lost.bucket) == ("web3", Bucket.UNREACHABLE)
    assert lost.error is not None and lost.error["message"] == "no route"


def test_a_process_that_some_host_has_is_no_mistake_where_there_is_none(
    controller: ScriptedController,
) -> None:
    def none(host: str) -> object:
        return log_end(host, "FAILED", "NO_SUCH_PROCESS", "web: no such process")

    script(controller, [log_piece("web1", 0, b"a\n"), none("web2")])
    reading = Reading(controller, "web1", "web2")
    reading.log.show(Amount(10))
    assert {answer.bucket for answer in reading.log.answers()} == {Bucket.OK}
    script(controller, [none("web1"), none("web2")])
    reading = Reading(controller, "web1", "web2")
    reading.log.show(Amount(10))
    assert {answer.bucket for answer in reading.log.answers()} == {Bucket.FAILED}


def test_last_lines_of_each_host(controller: ScriptedController) -> None:
    texts = {
        "web1": b"".join(b"line %d\n" % number for number in range(20)),
        "web2": b"y" * 30_000 + b"\nlast\n",
        "web3": b"only\n",
    }

    def answer(request: controller_pb2.ReadFleetLogRequest) -> Iterator[object]:
        for host in expand(request.hosts.expression):
            text = texts[host]
            start = max(0, len(text) - request.last_bytes)
            yield log_piece(host, start, text[start:])

    controller.on_log = answer
    reading = Reading(controller, *texts)
    reading.log.show(Amount(0, lines=2))
    assert reading.out == (
        "web1 | line 18\nweb1 | line 19\nweb3 | only\nweb2 | " + "y" * 30_000 + "\nweb2 | last\n"
    )
    assert controller.last(LOG).hosts.expression == "web2"


def test_a_read_that_breaks_off_goes_on_at_its_cursors(controller: ScriptedController) -> None:
    script(
        controller,
        [log_piece("web1", 0, b"abc"), Unavailable("CONTROLLER_LEAVING", "leaving")],
        [log_piece("web1", 3, b"def\n")],
    )
    reading = Reading(controller, "web1")
    reading.log.show(Amount(100))
    assert reading.out == "abcdef\n"
    assert controller.last(LOG).after["web1"].offset == 3
    assert controller.last(LOG).after["web1"].log_id == "log"


def follow_until_ended(reading: Reading, amount: Amount) -> None:
    thread = threading.Thread(target=reading.log.follow, args=[amount], daemon=True)
    thread.start()
    thread.join(15)
    assert not thread.is_alive()


def test_a_host_that_breaks_off_is_asked_again_from_its_cursor(controller: ScriptedController) -> None:
    script(
        controller,
        [
            log_piece("web1", 0, b"a\n"),
            log_piece("web2", 0, b"x\n"),
            log_end("web1", "UNREACHABLE", "NOT_ANSWERING", "web1 does not answer"),
        ],
        [
            log_piece("web1", 2, b"b\n"),
            log_piece("web2", 2, b"y\n"),
            log_end("web2", "FAILED", "GONE", "no more"),
        ],
        [log_end("web1", "FAILED", "GONE", "no more")],
    )
    reading = Reading(controller, "web1", "web2")
    follow_until_ended(reading, Amount(1024))
    assert reading.out == "web1 | a\nweb2 | x\nweb1 | b\nweb2 | y\n"
    assert "==> web1: web1 does not answer; asking again <==" in reading.err
    assert "==> web1: back <==" in reading.err
    assert "==> web2: no more; not followed any more <==" in reading.err
    first, second, third = (request for request in controller.requests if isinstance(request, LOG))
    assert first.follow
    assert dict(first.after) == {}
    assert {host: cursor.offset for host, cursor in second.after.items()} == {"web1": 2, "web2": 2}
    assert third.hosts.expression == "web1"
    assert {answer.bucket for answer in reading.log.answers()} == {Bucket.FAILED}


def test_a_call_that_hangs_is_made_anew_for_the_host_that_broke_off(controller: ScriptedController) -> None:
    is_over = threading.Event()

    def answer(request: controller_pb2.ReadFleetLogRequest) -> Iterator[object]:
        if controller.count(LOG) == 1:
            yield log_piece("web1", 0, b"a\n")
            yield log_piece("web2", 0, b"x\n")
            yield log_end("web1", "UNREACHABLE", "NOT_ANSWERING", "away")
            is_over.wait(10)
        else:
            for host in expand(request.hosts.expression):
                yield log_end(host, "FAILED", "GONE", "no more")

    controller.on_log = answer
    reading = Reading(controller, "web1", "web2")
    follow_until_ended(reading, Amount(1024))
    is_over.set()
    assert controller.count(LOG) == 2


def test_a_controller_that_is_replaced_costs_no_byte(controller: ScriptedController) -> None:
    script(
        controller,
        [log_piece("web1", 0, b"a\n"), Unavailable("CONTROLLER_LEAVING", "the controller is leaving")],
        [Unavailable("CONTROLLER_LEAVING", "the controller is leaving")],
        [log_piece("web1", 2, b"b\n"), log_end("web1", "FAILED", "GONE", "no more")],
    )
    reading = Reading(controller, "web1")
    follow_until_ended(reading, Amount(1024))
    assert reading.out == "a\nb\n"
    assert reading.err.count("the controller is leaving; asking again") == 1
    assert reading.err.count("the controller is back") == 1


def test_a_log_that_began_anew(controller: ScriptedController) -> None:
    script(
        controller,
        [log_piece("web1", 0, b"a\n"), log_end("web1", "FAILED", "LOG_CHANGED", "another log")],
        [log_piece("web1", 0, b"new\n", log_id="log-2"), log_end("web1", "FAILED", "GONE", "no more")],
    )
    reading = Reading(controller, "web1")
    follow_until_ended(reading, Amount(1024))
    assert reading.out == "a\nnew\n"
    assert "began anew" in reading.err
    cursor = controller.last(LOG).after["web1"]
    assert (cursor.log_id, cursor.offset) == ("", 0)


def test_what_the_controller_refuses_ends_it(controller: ScriptedController) -> None:
    script(controller, [BadRequest("NO_PROCESS", "no process is named")])
    with pytest.raises(BadRequest):
        Reading(controller, "web1").log.follow(Amount(10))


def test_hosts_that_never_answered_end_it(controller: ScriptedController) -> None:
    script(controller, [log_end("web1", "UNREACHABLE", "NO_ROUTE", "no route")])
    reading = Reading(controller, "web1")
    follow_until_ended(reading, Amount(10))
    assert [answer.bucket for answer in reading.log.answers()] == [Bucket.UNREACHABLE]
    wait_until(lambda: controller.count(LOG) == 1)
