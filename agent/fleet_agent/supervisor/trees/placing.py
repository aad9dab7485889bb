"""Runs into their cgroups, and what they have forked meanwhile; in the tree thread.

The kernel lets a lone move wait some milliseconds, and those that follow at once not at all: so they go
together.
"""

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleet_agent.core.tree import SLACK_TICKS, Leader, RunKey, owners
from fleet_agent.supervisor.trees import cgroups, procfs

_MAX_PASSES = 5


class Placed(NamedTuple):
    """The runs that have a cgroup now, those of them that are whole in it, and why others have none."""

    runs: frozenset[RunKey]
    whole: frozenset[RunKey]
    problem: str = ""


def place(
    home: cgroups.Home,
    leaders: Mapping[int, Leader],
    own: frozenset[int],
    agent: str,
    is_everywhere: bool,
) -> Placed:
    """Move each leader into the cgroup of its run, then every descendant that is still outside.

    `own` are the processes of the agent itself. `is_everywhere`: descendants may be in other cgroups than
    the agent's own, as those of runs that another agent started. A run of which nothing lives gets no cgroup.
    """
    problem = ""
    placed: set[RunKey] = set()
    for pid, leader in leaders.items():
        line = procfs.stat(pid)
        if line is None or not line.is_alive or line.started > leader.started + SLACK_TICKS:
            continue
        try:
            if _move(home, leader.key, pid) is not None:
                placed.add(leader.key)
        except OSError as error:
            problem = f"pid {pid}: {error.strerror}"
    since = min((leader.started for leader in leaders.values()), default=0) - SLACK_TICKS
    moved: set[RunKey] = set()
    for _ in range(_MAX_PASSES):
        # What is forked by one that is still outside is outside, too: until nobody is left there.
        moved = set()
        among: Iterable[int] = procfs.pids() if is_everywhere else cgroups.own_members(home.place)
        found = owners(procfs.seen((pid for pid in among if pid not in own), since), leaders, agent)
        for pid, key in found.items():
            try:
                if _move(home, key, pid):
                    moved.add(key)
            except OSError as error:
                problem = f"pid {pid}: {error.strerror}"
        placed |= moved
        if not moved:
            break
    return Placed(frozenset(placed), frozenset(placed - moved), problem)


def _move(home: cgroups.Home, key: RunKey, pid: int) -> bool | None:
    """Whether it had to be moved; None when it is gone.

    Raises: OSError when the kernel refuses.
    """
    path = home.of_run(key)
    try:
        os.makedirs(path)
    except FileExistsError:
        if pid in cgroups.members(path):
            return False
    try:
        cgroups.move(path, pid)
    except ProcessLookupError:
        cgroups.remove(path)
        return None
    except OSError:
        cgroups.remove(path)
        raise
    return True
