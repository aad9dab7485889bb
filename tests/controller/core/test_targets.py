"""Which hosts an expression means, and what is refused."""

import pytest
from fleet_api.errors import BadRequest
from fleet_controller.core import targets
from fleet_controller.model import Host, Inventory
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

INVENTORY = Inventory(
    {
        name: Host(name, f"{name}:7601", name, groups)
        for name, groups in {
            "web1": ("web",),
            "web2": ("web",),
            "web3": ("web", "canary"),
            "db1": ("db",),
            "db2": ("db",),
        }.items()
    }
)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("web1", ["web1"]),
        ("web[1-3]", ["web1", "web2", "web3"]),
        ("web2,web1", ["web2", "web1"]),
        ("@web & @canary", ["web3"]),
        ("* ! @web", ["db1", "db2"]),
        ("db* ! db9", ["db1", "db2"]),
        ("@*", ["web1", "web2", "web3", "db1", "db2"]),
    ],
)
def test_expressions_name_hosts_of_the_inventory(expression: str, names: list[str]) -> None:
    assert list(targets.resolve(expression, False, INVENTORY)) == names


def test_all_hosts_are_all_hosts_in_the_order_of_the_file() -> None:
    assert targets.resolve("", True, INVENTORY) == tuple(INVENTORY.hosts)


@pytest.mark.parametrize(
    ("expression", "all_hosts", "code"),
    [
        ("", False, "EMPTY_TARGET"),
        ("  ", False, "EMPTY_TARGET"),
        ("web1 ! @web", False, "EMPTY_TARGET"),
        ("web1", True, "AMBIGUOUS_TARGET"),
        ("web1,web7,db9", False, "UNKNOWN_HOST"),
        ("@nope", False, "UNKNOWN_HOST_GROUP"),
        ("mail*", False, "NO_HOST_MATCHES"),
    ],
)
def test_what_names_no_host_is_refused(expression: str, all_hosts: bool, code: str) -> None:
    with pytest.raises(BadRequest) as caught:
        targets.resolve(expression, all_hosts, INVENTORY)
    assert caught.value.code == code


def test_unknown_hosts_are_named_and_counted() -> None:
    with pytest.raises(BadRequest, match=r"does not know web4, .*, web13 and 7 more"):
        targets.resolve("web[1-20]", False, INVENTORY)


def test_all_of_an_empty_inventory_is_an_empty_target() -> None:
    with pytest.raises(BadRequest) as caught:
        targets.resolve("", True, Inventory())
    assert caught.value.code == "EMPTY_TARGET"


@given(st.text(alphabet="web123@[]-,!&^* db", max_size=30))
def test_any_expression_gives_known_hosts_once_or_a_bad_request(expression: str) -> None:
    try:
        names = targets.resolve(expression, False, INVENTORY)
    except BadRequest:
        return
    assert names and len(set(names)) == len(names) and set(names) <= set(INVENTORY.hosts)
