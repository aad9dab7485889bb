"""`fleetctl pid`."""

from pathlib import Path

import pytest
from fakes.door import fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import ROWS, answers_hello, answers_status, missing
from fakes.process_rows import process_row
from fakes.scripted_controller import plain_flags, scripted_controller, silent, status_of
from fleet_api import wire


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "door.sock")


def test_without_a_name_it_is_the_agents(path: str) -> None:
    with fake_door(path, {"hello": answers_hello}):
        assert run("pid", "--door", path) == Result(0, "4711\n", "")
        assert run("pid", "--door", path, "-o", "json").json == {
            "schema": "fleetctl/v1",
            "kind": "pid",
            "pid": 4711,
        }


def test_bare_numbers_in_order(path: str) -> None:
    with fake_door(path, {"status": answers_status()}):
        assert run("pid", "all", "--door", path) == Result(0, "180772\n11\n12\n", "")


def test_the_order_is_that_of_the_names(path: str) -> None:
    with fake_door(path, {"status": answers_status([process_row("z", pid=2), process_row("a", pid=1)])}):
        assert run("pid", "z", "a", "--door", path) == Result(0, "2\n1\n", "")
        assert run("pid", "z", "a", "--door", path, "-o", "name") == Result(0, "z\na\n", "")
        assert run("pid", "z", "a", "--door", path, "-o", "wide").lines == [
            "HOST  PROCESS  PID",
            "web1  z        2",
            "web1  a        1",
        ]


def test_what_does_not_run_is_0_and_code_3(path: str) -> None:
    with fake_door(path, {"status": answers_status([process_row("x", "STOPPED")])}):
        assert run("pid", "x", "--door", path) == Result(3, "0\n", "")


def test_an_unknown_name(path: str) -> None:
    with fake_door(path, {"status": answers_status(ROWS[2:], [missing("y")])}):
        assert run("pid", "hello_world", "y", "--door", path) == Result(2, "180772\n", "No such process y\n")


def test_no_agent(tmp_path: Path) -> None:
    for names in ([], ["x"]):
        result = run("pid", *names, "--door", str(tmp_path / "none" / "door.sock"))
        assert (result.code, result.out) == (4, "")
        assert "no agent runs here" in result.err


def test_many_hosts() -> None:
    old = wire.process_to_proto(process_row("w", pid=33))
    with scripted_controller() as controller:
        controller.on_status = lambda request: [
            status_of("web2", process_row("w", pid=22)),
            status_of("web1", process_row("w", pid=11)),
            silent("web3", "web3:7601 refuses connections", "start it", processes=[old]),
        ]
        result = run("pid", "w", "--all-hosts", *plain_flags(controller))
        assert result.code == 4
        assert result.out == "web1 w 11\nweb2 w 22\n"
        assert "UNREACHABLE  web3  web3:7601 refuses connections" in result.err
        assert "33" not in result.out, "what a silent host said before is no answer"
        controller.on_status = lambda request: [
            status_of(f"web{number}", missing=["nope"]) for number in (1, 2, 3)
        ]
        result = run("pid", "nope", "--all-hosts", *plain_flags(controller))
        assert (result.code, result.out) == (2, "")
        assert "web[1-3]: No such process nope\n" in result.err
        controller.on_status = lambda request: [status_of("web1", process_row("w", pid=11))]
        assert run("pid", "w", "-H", "web1", *plain_flags(controller)) == Result(0, "11\n", "")
        document = run("pid", "w", "-H", "web1", "-o", "json", *plain_flags(controller)).json
        assert document["processes"] == [{"host": "web1", "group": "w", "name": "w", "pid": 11}]
        assert run("pid", "--all-hosts", *plain_flags(controller)).code == 1
