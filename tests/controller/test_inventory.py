"""The inventory file: hosts from expressions, every problem at once, changes seen."""

from pathlib import Path

import pytest
from fleet_api.errors import BadRequest
from fleet_controller import inventory
from fleet_controller.inventory import InventoryFile
from fleet_controller.model import Host


def load(folder: Path, text: str) -> dict[str, Host]:
    path = folder / "inventory.toml"
    path.write_text(text)
    return dict(inventory.load(path, "demo").hosts)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(BadRequest) as caught:
        load(folder, text)
    assert caught.value.code == "BAD_INVENTORY"
    prefix = f"{folder / 'inventory.toml'}: "
    return [line.removeprefix(prefix) for line in caught.value.message.splitlines()]


def test_a_host_with_everything(tmp_path: Path) -> None:
    hosts = load(
        tmp_path,
        """
        [hosts.web1]
        address = "127.1.0.1:7701"
        host_id = "m-17"
        groups = ["web", "canary", "web"]
        labels = {env = "prod"}
        """,
    )
    assert hosts == {"web1": Host("web1", "127.1.0.1:7701", "m-17", ("web", "canary"), (("env", "prod"),))}


def test_expressions_placeholders_and_defaults(tmp_path: Path) -> None:
    hosts = load(
        tmp_path,
        """
        [hosts."web[08-10]"]
        address = "{host}.example"
        groups = ["web"]
        [hosts."db1,db2"]
        host_id = "id-{host}"
        """,
    )
    assert [(host.name, host.address, host.host_id) for host in hosts.values()] == [
        ("web08", "web08.example:7601", "web08"),
        ("web09", "web09.example:7601", "web09"),
        ("web10", "web10.example:7601", "web10"),
        ("db1", "db1:7601", "id-db1"),
        ("db2", "db2:7601", "id-db2"),
    ]


def test_groups_name_their_hosts(tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text('[hosts."a[1-2]"]\ngroups = ["x"]\n[hosts.b]\ngroups = ["x", "y"]\n')
    assert inventory.load(path, "demo").groups == {"x": ("a1", "a2", "b"), "y": ("b",)}


def test_an_empty_inventory_is_one(tmp_path: Path) -> None:
    assert load(tmp_path, "") == {}


def test_every_problem_stands_in_one_report(tmp_path: Path) -> None:
    lines = problems(
        tmp_path,
        """
        host = 1
        [hosts]
        plain = "127.0.0.1"
        [hosts.a]
        adress = "x:1"
        [hosts.b]
        address = "b:99999"
        [hosts."c["]
        [hosts."d[1-3]"]
        address = "same:7601"
        [hosts.d1]
        [hosts.e]
        groups = ["ok", "not ok", 3]
        labels = {n = 1}
        [hosts.f]
        groups = "web"
        host_id = "Not An Id"
        """,
    )
    report = "\n".join(lines)
    for words in (
        "host: nobody knows this section; did you mean 'hosts'?",
        "hosts.plain: is '127.0.0.1' instead of a table",
        "hosts.a.adress: nobody knows this key; did you mean 'address'?",
        "hosts.b: address 'b:99999': '99999' is no port",
        "hosts.c[: ",
        "hosts.d2.address: 'same:7601' is that of d1 already",
        "hosts.d1: d1 is named twice",
        "hosts.e.groups: 'not ok' cannot be asked for as @group",
        "hosts.e.groups: 3 cannot be asked for as @group",
        "hosts.e.labels.n: is 1; it must be a text",
        "hosts.f.groups: is 'web'; it must be a list of names",
        "hosts.f: 'Not An Id' cannot be the name of a agent",
    ):
        assert words in report, report


def test_two_names_for_one_agent_are_refused(tmp_path: Path) -> None:
    lines = problems(tmp_path, '[hosts.a]\naddress="x:1"\n[hosts.b]\naddress="x:2"\nhost_id="a"\n')
    assert lines == ["hosts.b.host_id: 'a' is that of a already"]


def test_a_range_beyond_all_bounds_is_refused_quickly(tmp_path: Path) -> None:
    (line,) = problems(tmp_path, '[hosts."h[1-999999999]"]\n')
    assert line.startswith("hosts.h[1-999999999]: ")


def test_a_change_of_the_file_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text("[hosts.a]\n")
    file = InventoryFile(path, "demo")
    assert file.has_changed()
    assert list(file.read().hosts) == ["a"]
    assert not file.has_changed()
    beside = tmp_path / "new"
    beside.write_text("[hosts.b]\n")
    beside.rename(path)
    assert file.has_changed()
    assert list(file.read().hosts) == ["b"]
    path.write_text("[hosts")
    with pytest.raises(BadRequest):
        file.read()
    assert not file.has_changed(), "a broken file is told once"
    path.unlink()
    assert file.has_changed()
    with pytest.raises(BadRequest):
        file.read()
    assert not file.has_changed()
