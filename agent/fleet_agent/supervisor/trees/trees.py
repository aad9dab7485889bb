"""The descendants of all processes: kept together while they live, ended with a stop, shown when asked.

Called by `children` for spawns and ends, by `agent` for the effects of the core, by `requests` for
`status --tree`. Where there is a cgroup v2 to use, each run gets a cgroup; where there is none, or a run is
too young to have its own yet, all of /proc is looked through, and only for a stop.
"""

import os
import time
from collections.abc import Callable, Iterable

from fleet_agent.core.events import EndTree, KillTree, TreeEnded
from fleet_agent.core.tree import Leader, RunKey, owners, run_mark
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.trees import cgroups, procfs
from fleet_agent.supervisor.trees.folders import Folders
from fleet_agent.supervisor.trees.hunting import Hunt
from fleet_agent.supervisor.trees.oom import CAUSE, OomCount
from fleet_agent.supervisor.trees.showing import Shown, Where, show
from fleet_agent.supervisor.trees.thread import TreeThread

Scanned = dict[str, dict[int, int]]
"""By process: the pids of its runs, and when each started."""


class Trees:
    """Knows every run that lives, and ends what is left of those that are stopped."""

    def __init__(
        self,
        loop: Loop,
        agent: str,
        keeper_pid: int,
        tell: Callable[[str, TreeEnded], None],
        warn: Callable[[str], None],
    ) -> None:
        """`agent` tells this agent from all others of this kernel: see `agent_mark`."""
        self._loop = loop
        self._agent = agent
        self._own = frozenset((keeper_pid, os.getpid()))
        self._tell = tell
        self._warn = warn
        self._thread = TreeThread(loop, warn)
        self._oom = OomCount()
        self._folders: Folders | None = None
        self._leaders: dict[RunKey, tuple[int, Leader]] = {}
        self._living: set[RunKey] = set()
        self._hunts: dict[str, Hunt] = {}
        self._is_scanning = False
        self._wants_scan = False

    def begin(self, may_use_cgroups: bool = True) -> str:
        """Find the cgroup to work in; in words, how descendants are found."""
        try:
            if not may_use_cgroups:
                raise cgroups.Unusable("`cgroups` in [fleet] is false")
            home = cgroups.Home(cgroups.find_place(), self._agent)
            home.make()
        except cgroups.Unusable as reason:
            return f"descendants are found by reading /proc: {reason}"
        self._folders = Folders(
            self._loop, self._thread, home, self._own, self._agent, self._warn, self._oom.look
        )
        return f"each process has a cgroup below {home.path}"

    def mark(self, key: RunKey) -> dict[str, str]:
        """What a run is to find in its environment, so that its descendants are known."""
        return {procfs.MARK_VARIABLE: run_mark(self._agent, key)}

    def spawned(self, key: RunKey, pid: int, started_monotonic: float, is_new: bool = True) -> None:
        """A run lives; one that is not new was started before this supervisor, perhaps by another agent."""
        boottime = time.clock_gettime(time.CLOCK_BOOTTIME)
        leader = Leader(key, procfs.ticks_of(started_monotonic, time.monotonic(), boottime))
        self._leaders[key] = pid, leader
        self._living.add(key)
        if self._folders is not None:
            self._folders.spawned(pid, leader, is_new)

    def ended(self, key: RunKey, is_stop: bool) -> bool:
        """The first process of a run has ended; whether, within a stop, descendants are or may be left."""
        self._living.discard(key)
        hunt = self._hunts.get(key[0])
        if is_stop and not (
            self._folders is not None
            and key in self._folders.placed
            and (hunt is None or not hunt.has_killed)
            and self._folders.remove_all(key[0])
        ):
            return True
        self._forget(key)
        return False

    def is_populated(self, id_: str) -> bool:
        """Whether anybody is known to live in the cgroups of a process; /proc is not read for that."""
        return any(map(cgroups.is_populated, self._paths(id_)))

    def act(self, id_: str, effect: EndTree | KillTree) -> None:
        """End what is left of a process; TreeEnded is told when that is done."""
        key = (id_, effect.run)
        hunt = self._hunts.get(id_)
        if hunt is None or hunt.key != key:
            hunt = self._hunts[id_] = Hunt(self._loop, key, self._look, self._finish)
        if isinstance(effect, EndTree):
            hunt.ask(effect.signal)
        else:
            hunt.kill(is_awaited=key not in self._living)

    def show(self, ids: Iterable[str], reply: Callable[[dict[str, Shown] | None], None]) -> None:
        """Give the trees of these processes to `reply`, some time later; None when that failed."""
        pids = {key[0]: self._leaders[key][0] for key in self._living}
        wanted = {id_: Where(pids.get(id_, 0), tuple(self._paths(id_))) for id_ in ids}
        placed = self._folders.placed if self._folders is not None else set()
        is_whole = all(key in placed for key in self._leaders if key[0] in wanted)
        leaders, agent, own = dict(self._leaders.values()), self._agent, self._own

        def work() -> dict[str, Shown]:
            found = {} if is_whole and self._folders is not None else scan(leaders, own, agent)
            others = {id_: frozenset(found.get(id_, ())) for id_ in wanted}
            return show({id_: where._replace(others=others[id_]) for id_, where in wanted.items()})

        self._thread.do(work, reply)

    def cause_of_kill(self, key: RunKey) -> str:
        """Why a run died of a SIGKILL that nobody here sent, where the kernel tells; else empty."""
        kills = None if self._folders is None else self._folders.oom_kills(key)
        if kills is not None:
            return CAUSE if kills else ""
        return self._oom.cause()

    def close(self) -> None:
        """Remove the cgroups of which nothing lives."""
        if self._folders is not None:
            self._folders.leave()

    def _forget(self, key: RunKey) -> None:
        self._leaders.pop(key, None)
        hunt = self._hunts.get(key[0])
        if hunt is not None and hunt.key == key:
            self._hunts.pop(key[0]).end()
        if self._folders is not None:
            self._folders.ended(key)

    def _finish(self, hunt: Hunt, event: TreeEnded) -> None:
        self._forget(hunt.key)
        self._tell(hunt.key[0], event)

    def _look(self, hunt: Hunt) -> None:
        if self._folders is not None and hunt.key in self._folders.placed:
            self._found(hunt, {})
        else:
            self._wants_scan = True
            self._scan()

    def _found(self, hunt: Hunt, scanned: dict[int, int]) -> None:
        leader = self._leaders[hunt.key][0] if hunt.key in self._living else 0
        hunt.found(self._paths(hunt.key[0]), scanned, leader)

    def _paths(self, id_: str) -> list[str]:
        return self._folders.paths(id_) if self._folders is not None else []

    def _scan(self) -> None:
        """Look through /proc for all that are waited for; whoever asks meanwhile has the next look."""
        if self._is_scanning or not self._wants_scan:
            return
        self._is_scanning, self._wants_scan = True, False
        hunts = list(self._hunts.values())
        leaders = dict(self._leaders.values())
        agent, own = self._agent, self._own

        def done(scanned: Scanned | None) -> None:
            self._is_scanning = False
            for hunt in hunts:
                if not hunt.is_over and scanned is not None:
                    self._found(hunt, scanned.get(hunt.key[0], {}))
            self._scan()

        self._thread.do(lambda: scan(leaders, own, agent), done)


def scan(leaders: dict[int, Leader], own: Iterable[int], agent: str) -> Scanned:
    """Every living process that belongs to a run of this agent, by its process."""
    found = procfs.seen((pid for pid in procfs.pids() if pid not in own), since=0)
    scanned: Scanned = {}
    for pid, key in owners(found, leaders, agent).items():
        scanned.setdefault(key[0], {})[pid] = found[pid].started
    return scanned


def agent_mark(runtime: str) -> str:
    """What tells this agent from all others of this kernel, containers included: its runtime folder.

    Raises: OSError.
    """
    known = os.stat(runtime)
    return f"{known.st_dev:x}-{known.st_ino:x}"
