"""The inventory's groups."""

import pytest
from fleet_controller.model import Host, Inventory

pytestmark = pytest.mark.pure


def test_groups_name_their_hosts_in_the_order_of_the_inventory() -> None:
    hosts = [Host("b", "b:1", "b", ("x", "y")), Host("a", "a:1", "a", ("x",)), Host("c", "c:1", "c")]
    inventory = Inventory({host.name: host for host in hosts})
    assert inventory.groups == {"x": ("b", "a"), "y": ("b",)}
