"""`fleetctl hosts`."""

import json
from collections.abc import Iterator

import pytest
from fakes.fleetctl import Result, run
from fakes.scripted_controller import ScriptedController, listing, plain_flags, reach, scripted_controller
from fleet_api.v1 import controller_pb2


@pytest.fixture(scope="module")
def controller() -> Iterator[ScriptedController]:
    with scripted_controller() as controller:
        yield controller


def two_hosts(request: object) -> list[object]:
    both = listing("web2", "web1")
    error = {"code": "NO_ROUTE", "message": "no route to web2:7601", "hint": "look"}
    both.hosts[0].reachability.CopyFrom(reach("UNREACHABLE", None, error))  # type: ignore[arg-type]
    both.hosts[1].labels["os"] = "deb"
    return [both]


def hosts(controller: ScriptedController, *arguments: str) -> Result:
    return run("hosts", *arguments, *plain_flags(controller))


def test_inventory(controller: ScriptedController) -> None:
    controller.on_hosts = two_hosts
    assert hosts(controller) == Result(
        0,
        "HOST  ADDRESS    STATE        SEEN   VERSION  GROUPS  WHY\n"
        "web1  web1:7601  connected    now    0.1.0    web\n"
        "web2  web2:7601  unreachable  never  0.1.0    web     no route to web2:7601\n",
        "",
    )
    assert controller.last(controller_pb2.ListHostsRequest).hosts.all_hosts


def test_an_expression_chooses(controller: ScriptedController) -> None:
    controller.on_hosts = two_hosts
    assert hosts(controller, "-H", "web[1-2]", "-o", "name").lines == ["web1", "web2"]
    assert controller.last(controller_pb2.ListHostsRequest).hosts.expression == "web[1-2]"


def test_json(controller: ScriptedController) -> None:
    controller.on_hosts = two_hosts
    document = hosts(controller, "-o", "json").json
    assert [host["host"] for host in document["hosts"]] == ["web1", "web2"]
    assert document["hosts"][0]["labels"] == {"os": "deb"}
    assert document["hosts"][1]["error"] == {
        "code": "NO_ROUTE",
        "message": "no route to web2:7601",
        "hint": "look",
    }
    assert [json.loads(line)["host"] for line in hosts(controller, "-o", "jsonl").lines] == ["web1", "web2"]


def test_no_host(controller: ScriptedController) -> None:
    controller.on_hosts = lambda request: []
    assert hosts(controller).code == 7


def test_without_a_controller_it_says_what_to_configure() -> None:
    result = run("hosts", environ={"HOME": "/nonexistent"})
    assert result.code == 1
    assert "no controller is configured" in result.err
