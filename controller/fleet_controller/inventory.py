"""The inventory file: from TOML to hosts, every problem in one report, read again when it changes.

Called by `main`, which asks once a second and on SIGHUP whether there is something new.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet_api import address, hostset, identity, names
from fleet_api.errors import BadRequest
from fleet_api.identity import Role

from fleet_controller.config import Problems, read_toml
from fleet_controller.model import Host, Inventory

DEFAULT_AGENT_PORT = 7601
DEFAULT_ADDRESS = "{host}"
HOST_KEYS = ("address", "groups", "labels", "host_id")
SECTIONS = ("hosts",)
PLACEHOLDER = "{host}"

Stamp = tuple[int, int, int]
"""Modification time, inode and size: together they tell that a file changed."""


def load(path: Path, fleet: str) -> Inventory:
    """The hosts in a file. A key may be a host expression; `{host}` stands for each of its names.

    Raises: BadRequest BAD_INVENTORY whose message holds one line for each problem, with its place.
    """
    problems = Problems(path)
    document = read_toml(path, problems)
    for name in document:
        if name not in SECTIONS:
            problems.unknown(name, SECTIONS)
    hosts: dict[str, Host] = {}
    for expression, table in problems.table(document, "hosts").items():
        place = f"hosts.{expression}"
        if not isinstance(table, dict):
            problems.add(place, f"is {table!r} instead of a table [hosts.{expression}]")
            continue
        for host in _hosts(expression, table, place, fleet, problems):
            if host.name in hosts:
                problems.add(place, f"{host.name} is named twice")
            hosts.setdefault(host.name, host)
    _check_unique(hosts, problems)
    problems.raise_if_any("BAD_INVENTORY")
    return Inventory(hosts)


class InventoryFile:
    """The file as last read, to see whether it changed."""

    def __init__(self, path: Path, fleet: str) -> None:
        self._path = path
        self._fleet = fleet
        self._stamp: Stamp | None = None

    def read(self) -> Inventory:
        """Read the file, whether it changed or not.

        Raises: BadRequest BAD_INVENTORY.
        """
        # Before reading: a change while we read is then seen next time.
        self._stamp = self._look()
        return load(self._path, self._fleet)

    def has_changed(self) -> bool:
        """Whether the file is another than the one last read, well or not."""
        return self._look() != self._stamp

    def _look(self) -> Stamp | None:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino, status.st_size


def _hosts(
    expression: str, table: Mapping[str, Any], place: str, fleet: str, problems: Problems
) -> list[Host]:
    for key in table:
        if key not in HOST_KEYS:
            problems.unknown(f"{place}.{key}", HOST_KEYS)
    try:
        host_names = hostset.expand(expression)
    except BadRequest as error:
        problems.add(place, error.message)
        return []
    address_pattern = _text(table, "address", DEFAULT_ADDRESS, place, problems)
    id_pattern = _text(table, "host_id", PLACEHOLDER, place, problems)
    groups = _groups(table.get("groups", []), f"{place}.groups", problems)
    labels = _labels(table.get("labels", {}), f"{place}.labels", problems)
    hosts = []
    for name in host_names:
        host_id = id_pattern.replace(PLACEHOLDER, name)
        where = address_pattern.replace(PLACEHOLDER, name)
        try:
            names.check_host(name)
            identity.make(fleet, Role.AGENT, host_id)
            where = str(address.parse(where, DEFAULT_AGENT_PORT))
        except BadRequest as error:
            # One line for a whole range: its hosts share the mistake.
            problems.add(place, "; ".join(filter(None, (error.message, error.hint))))
            break
        hosts.append(Host(name, where, host_id, groups, labels))
    return hosts


def _text(table: Mapping[str, Any], key: str, default: str, place: str, problems: Problems) -> str:
    value = table.get(key, default)
    if isinstance(value, str) and value:
        return value
    problems.add(f"{place}.{key}", f"is {value!r}; it must be a text")
    return default


def _groups(value: Any, place: str, problems: Problems) -> tuple[str, ...]:
    if not isinstance(value, list):
        problems.add(place, f'is {value!r}; it must be a list of names, such as ["web"]')
        return ()
    for group in value:
        try:
            if not isinstance(group, str) or hostset.expand(group) != [group]:
                raise BadRequest("BAD_GROUP", "")
        except BadRequest:
            problems.add(place, f"{group!r} cannot be asked for as @group: letters, digits, - _ and .")
    return tuple(dict.fromkeys(str(group) for group in value))


def _labels(value: Any, place: str, problems: Problems) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        problems.add(place, f'is {value!r}; it must be a table, such as {{env = "prod"}}')
        return ()
    for key, text in value.items():
        if not isinstance(text, str):
            problems.add(f"{place}.{key}", f"is {text!r}; it must be a text")
    return tuple((str(key), str(text)) for key, text in value.items())


def _check_unique(hosts: Mapping[str, Host], problems: Problems) -> None:
    owners: dict[tuple[str, str], str] = {}
    for host in hosts.values():
        for what, value in (("address", host.address), ("host_id", host.host_id)):
            owner = owners.setdefault((what, value), host.name)
            if owner != host.name:
                problems.add(f"hosts.{host.name}.{what}", f"{value!r} is that of {owner} already")
