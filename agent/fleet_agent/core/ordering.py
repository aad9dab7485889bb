"""In which order groups and processes start and stop.

Start: groups by priority, then name; inside a group by priority, then as the group lists them. Stop:
exactly the reverse, in `stop all` too, where supervisord stops in the order of start in spite of its
manual.

Called by `config.programs`, so that a configuration holds its groups in their order of start, and by the
supervisor when it stops everything.
"""

from collections.abc import Iterable
from itertools import groupby

from fleet_agent.core.model import GroupSpec, ProcessSpec


def start_order(groups: Iterable[GroupSpec]) -> tuple[GroupSpec, ...]:
    """Groups in their order of start."""
    return tuple(sorted(groups, key=lambda group: (group.priority, group.name)))


def stop_order(groups: Iterable[GroupSpec]) -> tuple[GroupSpec, ...]:
    """Groups in their order of stop; their processes stop in the reverse of the order they stand in."""
    return start_order(groups)[::-1]


def ordered_processes(specs: Iterable[ProcessSpec]) -> tuple[ProcessSpec, ...]:
    """The processes of one group in their order of start, given as the group lists them."""
    return tuple(sorted(specs, key=lambda spec: spec.priority))


def stop_waves(groups: Iterable[GroupSpec]) -> tuple[tuple[ProcessSpec, ...], ...]:
    """The end of the agent: each wave is stopped, in its order, when the one before has ended.

    Groups of one priority form one wave: who wants one group to outlive another says so by priority.
    """
    waves = groupby(stop_order(groups), key=lambda group: group.priority)
    return tuple(tuple(spec for group in wave for spec in reversed(group.processes)) for _, wave in waves)
