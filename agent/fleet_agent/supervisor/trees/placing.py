"""Runs into their cgroups, and what they have forked meanwhile; in the helper thread.

The kernel lets a lone move wait some milliseconds, and those that follow at once not at all: so they go
together.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from fleet_agent.core.tree import SLACK_TICKS, Leader, RunKey, owners
from fleet_agent.supervisor.trees import cgroups, procfs

_MAX_PASSES = 5


class Placed(NamedTuple):
    """The runs that have a cgroup now, and why others have none."""

    runs: frozenset[RunKey]
    problem: str = ""


def place(home: cgroups.Home, leaders: Mapping[int, Leader], own: frozenset[int], agent: str) -> Placed:
    """Move each leader into the cgroup of its run, then every descendant that is still outside.

    `own` are the processes of the agent itself. A run of which nothing lives gets no cgroup.
    """
    placed: set[RunKey] = set()
    problem = ""
    for pid, leader in leaders.items():
        line = procfs.stat(pid)
        if line is None or not line.is_alive or line.started > leader.started + SLACK_TICKS:
            continue
        try:
            if _move(home, leader.key, pid):
                placed.add(leader.key)
        except OSError as error:
            problem = f"pid {pid}: {error.strerror}"
    since = min((leader.started for leader in leaders.values()), default=0) - SLACK_TICKS
    for _ in range(_MAX_PASSES):
        # What is forked by one that is still outside is outside, too: until nobody is left there.
        outside = [pid for pid in cgroups.own_members(home.place) if pid not in own]
        found = owners(procfs.seen(outside, since), leaders, agent)
        moved = False
        for pid, key in found.items():
            try:
                if _move(home, key, pid):
                    placed.add(key)
                    moved = True
            except OSError as error:
                problem = f"pid {pid}: {error.strerror}"
        if not moved:
            break
    return Placed(frozenset(placed), problem)


def _move(home: cgroups.Home, key: RunKey, pid: int) -> bool:
    """Whether it is where it belongs, and lives."""
    path = home.of_run(key)
    try:
        os.makedirs(path)
    except FileExistsError:
        if pid in cgroups.members(path):
            return True
    try:
        cgroups.move(path, pid)
    except ProcessLookupError:
        cgroups.remove(path)
        return False
    except OSError:
        cgroups.remove(path)
        raise
    return True
