"""What a new inventory changes for the sessions; called by `state`."""

from collections.abc import Mapping
from dataclasses import dataclass

from fleet_controller.model import Host, Inventory


@dataclass(frozen=True, slots=True)
class Change:
    """Hosts to dial, hosts to leave, hosts to dial anew, and hosts of which only the words differ."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    moved: tuple[str, ...]
    relabelled: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the inventories say the same."""
        return not (self.added or self.removed or self.moved or self.relabelled)


def diff(old: Inventory, new: Inventory) -> Change:
    """How to get from `old` to `new`."""
    both = [name for name in new.hosts if name in old.hosts]
    moved = tuple(name for name in both if _is_moved(name, old.hosts, new.hosts))
    return Change(
        added=tuple(name for name in new.hosts if name not in old.hosts),
        removed=tuple(name for name in old.hosts if name not in new.hosts),
        moved=moved,
        relabelled=tuple(
            name for name in both if name not in set(moved) and old.hosts[name] != new.hosts[name]
        ),
    )


def _is_moved(name: str, old: Mapping[str, Host], new: Mapping[str, Host]) -> bool:
    return (old[name].address, old[name].host_id) != (new[name].address, new[name].host_id)
