"""`fleetctl version`."""

from pathlib import Path

from fakes.door import Conversation, fake_door
from fakes.fleetctl import Result, run
from fakes.local_agent import answers_hello
from fakes.scripted_controller import listing, plain_flags, reach, scripted_controller
from fleet_api.frames import Frame
from fleet_api.version import VERSION


def test_here(tmp_path: Path) -> None:
    path = str(tmp_path / "door.sock")
    with fake_door(path, {"hello": answers_hello}):
        assert run("version", "--door", path) == Result(
            0, f"fleetctl    {VERSION}\nagent       0.1.0  web1\n", ""
        )
        assert run("version", "-o", "json", "--door", path).json == {
            "schema": "fleetctl/v1",
            "kind": "version",
            "fleetctl": VERSION,
            "agent": {"host": "web1", "version": "0.1.0"},
        }


def test_here_where_the_gateway_cannot_serve_that_is_said(tmp_path: Path) -> None:
    def hello(talk: Conversation, request: Frame) -> None:
        talk.ok(request, version="0.1.0", host_id="web1", gateway_problem="the certificate expired 3 d ago\n")

    path = str(tmp_path / "door.sock")
    with fake_door(path, {"hello": hello}):
        last = run("version", "--door", path).lines[-1]
        assert last == "gateway     not serving: the certificate expired 3 d ago\\n"
        agent = run("version", "-o", "json", "--door", path).json["agent"]
        assert agent["gateway_problem"] == "the certificate expired 3 d ago\n"


def test_where_no_agent_runs_that_is_said(tmp_path: Path) -> None:
    result = run("version", "--door", str(tmp_path / "none" / "door.sock"))
    assert result.code == 4
    assert result.lines[0] == f"fleetctl    {VERSION}"
    assert "not answering: no agent runs here" in result.lines[1]


def test_of_a_fleet() -> None:
    with scripted_controller() as controller:
        controller.on_hosts = lambda request: [listing("web1", "web2", "web3")]
        result = run("version", "--all-hosts", *plain_flags(controller))
        assert result.lines[1:] == ["controller  0.1.0  fleet test", "agent       0.1.0  web[1-3]"]
        assert run("version", "--all-hosts", "-o", "json", *plain_flags(controller)).json[
            "agents"
        ] == dict.fromkeys(["web1", "web2", "web3"], "0.1.0")


def test_a_host_that_does_not_answer_is_told_as_last_known() -> None:
    hosts = listing("web1", "web2", "web3")
    hosts.hosts[1].reachability.CopyFrom(reach("UNREACHABLE", 60.0))
    hosts.hosts[2].reachability.CopyFrom(reach("UNREACHABLE", None))
    hosts.hosts[2].agent_version = ""
    with scripted_controller() as controller:
        controller.on_hosts = lambda request: [hosts]
        result = run("version", "--all-hosts", *plain_flags(controller))
    assert result.code == 4
    assert result.lines[2:] == [
        "agent       0.1.0  web1",
        "agent       0.1.0  web2  (not answering)",
        "agent       unknown  web3  (not answering)",
    ]


def test_the_flag_says_only_our_own() -> None:
    assert run("--version") == Result(0, f"fleetctl {VERSION}\n", "")


def test_here_troubles_are_shown(tmp_path: Path) -> None:
    trouble = {"kind": "journal", "subject": "", "message": "journal is full", "since": 1.0, "count": 3}

    def hello(talk: Conversation, request: Frame) -> None:
        talk.ok(request, version="0.1.0", host_id="web1", troubles=[trouble])

    path = str(tmp_path / "door.sock")
    with fake_door(path, {"hello": hello}):
        assert run("version", "--door", path).lines[-1] == "trouble     journal is full"
        assert run("version", "-o", "json", "--door", path).json["agent"]["troubles"] == [trouble]
