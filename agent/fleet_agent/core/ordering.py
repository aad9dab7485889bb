"""In which order groups and processes start and stop.

Start: groups by priority, then name; inside a group by priority, then as the group lists them. Stop:
exactly the reverse, in `stop all` too, where supervisord stops in the order of start in spite of its
manual. Nothing waits for the one before it, except at the end of the agent: see `stop_waves`.
"""

from collections.abc import Iterable
from itertools import groupby

from fleet_agent.core.model import GroupSpec, ProcessSpec


def ordered_groups(groups: Iterable[GroupSpec]) -> tuple[GroupSpec, ...]:
    """Groups in their order of start."""
    return tuple(sorted(groups, key=lambda group: (group.priority, group.name)))


def ordered_processes(specs: Iterable[ProcessSpec]) -> tuple[ProcessSpec, ...]:
    """The processes of one group in their order of start, given in the order of its list."""
    return tuple(sorted(specs, key=lambda spec: spec.priority))


def start_order(groups: Iterable[GroupSpec]) -> tuple[ProcessSpec, ...]:
    """All processes in their order of start."""
    return tuple(spec for group in ordered_groups(groups) for spec in ordered_processes(group.processes))


def stop_order(groups: Iterable[GroupSpec]) -> tuple[ProcessSpec, ...]:
    """All processes in their order of stop."""
    return start_order(groups)[::-1]


def stop_waves(groups: Iterable[GroupSpec]) -> tuple[tuple[ProcessSpec, ...], ...]:
    """The end of the agent: each wave is stopped, in its order, when the one before has ended.

    Groups of one priority form one wave: who wants one group to outlive another says so by priority.
    """
    waves = groupby(reversed(ordered_groups(groups)), key=lambda group: group.priority)
    return tuple(stop_order(wave) for _, wave in waves)
