"""To which run a process of the kernel belongs, and how the tree of a run is drawn.

Called by the supervisor's room `trees`, for what no cgroup tells.
"""

from collections.abc import Mapping
from typing import NamedTuple

RunKey = tuple[str, int]
"""Process id and run number."""

SLACK_TICKS = 200
"""How far the start of a leader, as the agent noted it, may lie from the kernel's own."""


class Seen(NamedTuple):
    """What /proc tells of one process. `started`: clock ticks since boot; `mark`: see `run_mark`."""

    pid: int
    parent: int
    group: int
    session: int
    started: int
    mark: str = ""


class Leader(NamedTuple):
    """The process that the agent started for a run, dead or alive; `started` as far as the agent knows."""

    key: RunKey
    started: int


def run_mark(agent: str, key: RunKey) -> str:
    """What every process of a run finds in its environment, unless it wipes that."""
    return f"{agent}/{key[0]}#{key[1]}"


def from_mark(agent: str, mark: str) -> RunKey | None:
    """The run of a mark; None when it is another agent's, or none."""
    owner, _, rest = mark.partition("/")
    id_, _, run = rest.rpartition("#")
    return (id_, int(run)) if owner == agent and id_ and run.isascii() and run.isdecimal() else None


def owners(seen: Mapping[int, Seen], leaders: Mapping[int, Leader], agent: str) -> dict[int, RunKey]:
    """The run of every process that belongs to one: by its mark, group, session or parents.

    The pid of a leader that has ended may have been given to another process: that one counts for nothing,
    and as the kernel gives away no pid that a group or session still bears, neither do these.
    """
    real = {
        pid: leader
        for pid, leader in leaders.items()
        if pid not in seen or seen[pid].started <= leader.started + SLACK_TICKS
    }
    found: dict[int, RunKey | None] = {}
    for pid in seen:
        chain: list[int] = []
        while pid in seen and pid not in found:
            found[pid] = None
            chain.append(pid)
            key = _own_run(seen[pid], real, agent)
            if key is not None:
                found[pid] = key
                break
            pid = seen[pid].parent  # noqa: PLW2901  # up to the first that is known
        key = found.get(pid)
        for member in chain:
            found[member] = key
    return {pid: key for pid, key in found.items() if key is not None}


def _own_run(process: Seen, leaders: Mapping[int, Leader], agent: str) -> RunKey | None:
    if process.pid in leaders:
        return leaders[process.pid].key
    marked = from_mark(agent, process.mark)
    if marked is not None:
        return marked
    for pid in (process.group, process.session):
        leader = leaders.get(pid)
        if leader is not None and process.started >= leader.started - SLACK_TICKS:
            return leader.key
    return None


def depths(parents: Mapping[int, int], first: int = 0) -> list[tuple[int, int]]:
    """Pids with their depth, each after its parent: `first` at the top, siblings by pid.

    `parents` maps pid to parent; one whose parent is not among them stands below `first`.
    """
    children: dict[int, list[int]] = {}
    for pid in sorted(parents):
        parent = parents[pid]
        if pid != first:
            known = parent in parents and parent != pid
            children.setdefault(parent if known else first if first in parents else 0, []).append(pid)
    ordered: list[tuple[int, int]] = []
    waiting = [(first, 0)] if first in parents else [(pid, 0) for pid in reversed(children.get(0, ()))]
    while waiting:
        pid, depth = waiting.pop()
        ordered.append((pid, depth))
        waiting.extend((child, depth + 1) for child in reversed(children.get(pid, ())))
    missing = sorted(parents.keys() - {pid for pid, _ in ordered})
    # Two readings of /proc may disagree so that parents form a circle.
    return ordered + [(pid, 1) for pid in missing]


def counted(count: int) -> str:
    """`1 descendant`, `3 descendants`."""
    return f"{count} descendant{'' if count == 1 else 's'}"
