"""The nouns of the controller: hosts, the inventory, moments, and where a target ends.

Frozen values that every room shares; made by `inventory` and by the core.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Host:
    """A machine that runs one agent, as the inventory names it.

    `host_id` is the id in the agent's certificate; names and addresses may change, it does not.
    """

    name: str
    address: str
    host_id: str
    groups: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """All hosts of the fleet by name, in the order of the file."""

    hosts: Mapping[str, Host] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The names of each group's hosts."""
        members: dict[str, list[str]] = {}
        for host in self.hosts.values():
            for group in host.groups:
                members.setdefault(group, []).append(host.name)
        return {group: tuple(names) for group, names in members.items()}


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of both clocks, in seconds; ages use the first, people read the second."""

    monotonic: float
    wall: float


@dataclass(frozen=True, slots=True)
class Position:
    """A point in an agent's numbered history; sequences of different incarnations do not compare."""

    agent_id: str
    incarnation: str
    sequence: int


class Bucket(StrEnum):
    """Where every targeted host ends: exactly one of these."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"  # not allowed
    TIMED_OUT = "timed_out"  # a read that did not come back in time
    UNKNOWN = "unknown"  # a change whose answer never came
    UNREACHABLE = "unreachable"


class Reach(StrEnum):
    """Whether a host answers."""

    CONNECTING = "connecting"  # no attempt has ended yet
    CONNECTED = "connected"
    LATE = "late"
    UNREACHABLE = "unreachable"
