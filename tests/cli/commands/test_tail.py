"""`fleetctl tail`; following is tested in `test_local_log` and `test_remote_log`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.door import Conversation, FakeDoor, fake_door
from fakes.fleetctl import Result, run
from fakes.scripted_controller import listing, log_end, log_piece, plain_flags, scripted_controller
from fleet_api.frames import Frame
from fleet_api.v1 import agent_pb2, controller_pb2

TEXT = b"".join(b"line %d\n" % number for number in range(1000))


@pytest.fixture
def door(tmp_path: Path) -> Iterator[FakeDoor]:
    log = tmp_path / "log"
    log.write_bytes(TEXT)

    def lend(talk: Conversation, request: Frame) -> None:
        fd = os.open(log, os.O_RDONLY)
        talk.ok(request, fds=[fd], log_id="log", segments=[{"start": 0}], end=len(TEXT))
        os.close(fd)

    with fake_door(str(tmp_path / "door.sock"), {"open_log": lend}) as fake:
        yield fake


def test_the_last_1600_bytes_of_stdout(door: FakeDoor) -> None:
    assert run("tail", "web", "--door", door.path) == Result(0, TEXT[-1600:].decode(), "")
    assert (door.requests[0]["process"], door.requests[0]["stream"]) == ("web", "stdout")


def test_as_many_as_asked_for(door: FakeDoor) -> None:
    assert run("tail", "-n", "2", "web", "--door", door.path).out == "line 998\nline 999\n"
    assert run("tail", "-c", "5", "web", "stderr", "--door", door.path).out == " 999\n"
    assert door.requests[-1]["stream"] == "stderr"
    assert run("tail", "-5", "web", "--door", door.path).out == " 999\n", "as supervisorctl takes it"
    assert run("tail", "-n", "1", "-5", "web", "--door", door.path).code == 1


@pytest.mark.parametrize(
    ("code", "words"), [("NO_LOG_FILE", "no log file"), ("NO_SUCH_PROCESS", "no such process name")]
)
def test_what_there_is_not(door: FakeDoor, code: str, words: str) -> None:
    door.handlers["open_log"] = lambda talk, request: talk.error(request, "NotFound", code, "x")
    assert run("tail", "web", "--door", door.path) == Result(2, "", f"web: ERROR ({words})\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "tail requires process name"),
        (["web", "stdin"], "bad channel 'stdin'"),
        (["web", "-n", "1", "-c", "1"], "-n and -c exclude each other"),
        (["web", "-n", "-1"], "-1"),
    ],
)
def test_mistakes(door: FakeDoor, arguments: list[str], words: str) -> None:
    result = run("tail", *arguments, "--door", door.path)
    assert (result.code, result.out, door.requests) == (1, "", [])
    assert words in result.err


def test_no_agent(tmp_path: Path) -> None:
    assert run("tail", "web", "--door", str(tmp_path / "none" / "door.sock")).code == 4


@pytest.mark.parametrize("flags", [[], ["-f"]])
def test_an_agent_that_says_nothing(door: FakeDoor, flags: list[str]) -> None:
    door.handlers |= {"open_log": lambda talk, request: None, "follow_log": lambda talk, request: None}
    result = run("tail", *flags, "web", "--timeout", "0.2", "--door", door.path)
    assert (result.code, result.out) == (4, "")
    assert "did not answer within 0.2 s" in result.err


def test_follow_says_how_to_end_it(door: FakeDoor) -> None:
    door.handlers["follow_log"] = lambda talk, request: talk.error(request, "NotFound", "NO_LOG_FILE", "x")
    result = run("tail", "-f", "web", "--door", door.path)
    assert result.err.startswith("==> Press Ctrl-C to exit <==\n")
    assert result.code == 2


def test_ctrl_c_is_130(door: FakeDoor, monkeypatch: pytest.MonkeyPatch) -> None:
    from fleet_cli import local_log

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(local_log.LocalLog, "follow", interrupt)
    assert run("tail", "-f", "web", "--door", door.path).code == 130


def test_many_hosts() -> None:
    with scripted_controller() as controller:
        controller.on_hosts = lambda request: [listing("web1", "web2", "web3")]
        controller.on_log = lambda request: [
            log_piece("web1", 0, b"a\n"),
            log_piece("web2", 0, b"b\n"),
            log_end("web3", "FAILED", "NO_LOG_FILE", "web: no log file for stderr"),
        ]
        result = run("tail", "web", "stderr", "--all-hosts", *plain_flags(controller))
        request = controller.last(controller_pb2.ReadFleetLogRequest)
    assert result == Result(
        2,
        "web1 | a\nweb2 | b\n",
        "FAILED  web3  web: no log file for stderr\n3 hosts: 2 ok, 1 failed\n",
    )
    assert request.stream == agent_pb2.ReadLogRequest.STDERR


def test_of_many_hosts_no_line_is_cut_in_two() -> None:
    with scripted_controller() as controller:
        controller.on_hosts = lambda request: [listing("web1", "web2")]
        controller.on_log = lambda request: [log_piece("web1", 0, TEXT), log_piece("web2", 0, TEXT)]
        lines = run("tail", "web", "--all-hosts", *plain_flags(controller)).lines
        assert lines == [f"web{host} | line {number}" for host in (1, 2) for number in range(990, 1000)]
        assert len(run("tail", "-c", "9", "web", "--all-hosts", *plain_flags(controller)).lines) == 2000


def test_one_host_has_no_prefix() -> None:
    with scripted_controller() as controller:
        controller.on_log = lambda request: [log_piece("web1", 0, b"a\n")]
        assert run("tail", "web", "-H", "web1", *plain_flags(controller)) == Result(0, "a\n", "")
