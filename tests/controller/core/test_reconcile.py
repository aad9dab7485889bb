"""What a new inventory changes, host by host."""

import pytest
from fleet_controller.core import reconcile
from fleet_controller.model import Host, Inventory
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


def host(name: str, address: str, group: str) -> Host:
    return Host(name, address, name, (group,))


inventories = st.dictionaries(
    st.sampled_from("abcde"), st.tuples(st.sampled_from("12"), st.sampled_from("xy"))
).map(lambda chosen: Inventory({name: host(name, *rest) for name, rest in chosen.items()}))


@given(inventories, inventories)
def test_every_host_is_in_the_one_place_where_it_belongs(old: Inventory, new: Inventory) -> None:
    change = reconcile.diff(old, new)
    assert set(change.added) == set(new.hosts) - set(old.hosts)
    assert set(change.removed) == set(old.hosts) - set(new.hosts)
    for name in set(old.hosts) & set(new.hosts):
        is_moved = old.hosts[name].address != new.hosts[name].address
        is_other = old.hosts[name] != new.hosts[name]
        assert (name in change.moved) == is_moved
        assert (name in change.relabelled) == (is_other and not is_moved)


@given(inventories)
def test_the_same_inventory_changes_nothing(inventory: Inventory) -> None:
    assert reconcile.diff(inventory, inventory).is_empty


def test_another_host_id_is_another_agent() -> None:
    old, new = Inventory({"a": Host("a", "h:1", "a")}), Inventory({"a": Host("a", "h:1", "b")})
    assert reconcile.diff(old, new).moved == ("a",)
