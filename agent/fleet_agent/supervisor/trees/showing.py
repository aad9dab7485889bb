"""The trees of processes as `status --tree` shows them; read in the tree thread."""

from collections.abc import Mapping
from typing import NamedTuple

from fleet_api.rows import TreeRow

from fleet_agent.core.tree import depths
from fleet_agent.supervisor.trees import cgroups, procfs

MAX_ROWS = 500
"""Of one process; what is beyond is counted, not shown."""


class Where(NamedTuple):
    """Where the tree of one process is found: its own pid (0: none), its cgroups, who else is known."""

    pid: int
    folders: tuple[str, ...] = ()
    others: frozenset[int] = frozenset()


class Shown(NamedTuple):
    """A tree, the process itself first; `size` counts also those that are not shown."""

    rows: list[TreeRow]
    size: int


def show(asked: Mapping[str, Where]) -> dict[str, Shown]:
    """The tree of each process."""
    return {id_: _tree(where) for id_, where in asked.items()}


def _tree(where: Where) -> Shown:
    pids = {pid for folder in where.folders for pid in cgroups.members(folder)} | where.others | {where.pid}
    lines = {line.pid: line for line in map(procfs.stat, pids - {0}) if line is not None and line.is_alive}
    ordered = depths({pid: line.parent for pid, line in lines.items()}, where.pid)
    rows = [_row(lines[pid], depth) for pid, depth in ordered[:MAX_ROWS]]
    return Shown(rows, len(ordered))


def _row(line: procfs.Stat, depth: int) -> TreeRow:
    return {
        "pid": line.pid,
        "parent": line.parent,
        "depth": depth,
        "command": procfs.command(line),
        "state": line.state,
        "cpu_seconds": line.cpu / procfs.TICKS_PER_SECOND,
        "memory_bytes": line.memory,
    }
