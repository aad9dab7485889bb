"""The cgroups of all runs: made behind the start of a run, removed when the last of its tree has ended.

The main loop's side of `cgroups` and `placing`.
"""

import os
from collections.abc import Callable

from fleet_agent.core.tree import Leader, RunKey
from fleet_agent.supervisor.loop import Alarm, Loop
from fleet_agent.supervisor.trees import cgroups
from fleet_agent.supervisor.trees.placing import Placed, place
from fleet_agent.supervisor.trees.thread import TreeThread

PLACE_SECONDS = 0.1
"""How long a run waits for others that are moved with it."""

LATEST_SECONDS = 1.0
"""How long at most, where others come all the time: each batch looks at all that is in no cgroup yet."""

StemKey = tuple[str, int]
"""What the name of a cgroup tells: the stem of the process, and the run."""


class Folders:
    """Owns the folders of runs below one `Home`."""

    def __init__(
        self,
        loop: Loop,
        thread: TreeThread,
        home: cgroups.Home,
        own: frozenset[int],
        agent: str,
        warn: Callable[[str], None],
        on_batch: Callable[[], object],
    ) -> None:
        """`on_batch` is called in the thread, whenever runs are moved."""
        self._loop = loop
        self._thread = thread
        self._home = home
        self._own = own
        self._agent = agent
        self._warn = warn
        self._on_batch = on_batch
        self._alarm: Alarm | None = None
        self._began = self._asked = 0.0
        self._waiting: dict[int, Leader] = {}
        self._is_everywhere = False
        self._left: set[StemKey] = set()
        self._lingering: dict[StemKey, int] = {}
        # Those of an earlier supervisor are removed with the first batch, save of what is found to live.
        self._old = set(home.runs())
        # Most have one: a tuple is much smaller than a set.
        self._runs: dict[str, tuple[int, ...]] = {}
        for stem, run in self._old:
            self._runs[stem] = (*self._runs.get(stem, ()), run)
        self.placed: set[RunKey] = set()
        """Living or stopping runs of which every descendant is known to be in its cgroup."""

    def spawned(self, pid: int, leader: Leader, is_new: bool) -> None:
        """A run lives: move it soon. One that is not new may have descendants anywhere."""
        self._waiting[pid] = leader
        self._is_everywhere |= not is_new
        if self._old:
            self._old.discard((cgroups.stem_of(leader.key[0]), leader.key[1]))
        self._plan()

    def ended(self, key: RunKey) -> None:
        """A run has ended, and whatever is left of it may live on."""
        self.placed.discard(key)
        self._left.add((cgroups.stem_of(key[0]), key[1]))
        self._plan()

    def remove_all(self, id_: str) -> bool:
        """Remove the cgroups of all runs of a process at once; False when somebody lives there."""
        removed = [self._remove(run) for run in self._runs_of(id_)]
        return all(removed)

    def paths(self, id_: str) -> list[str]:
        """The cgroups of all runs of a process, oldest first."""
        return [self._home.folder(*run) for run in self._runs_of(id_)]

    def oom_kills(self, key: RunKey) -> int | None:
        """See `cgroups.oom_kills`."""
        return cgroups.oom_kills(self._home.of_run(key)) if self._home.counts_kills else None

    def leave(self) -> None:
        """Remove what is empty; the agent ends."""
        self._home.leave()

    def _runs_of(self, id_: str) -> list[StemKey]:
        stem = cgroups.stem_of(id_)
        return [(stem, run) for run in sorted(self._runs.get(stem, ()))]

    def _plan(self) -> None:
        self._asked = self._loop.now()
        if self._alarm is None:
            self._began = self._asked
            self._alarm = self._loop.after(PLACE_SECONDS, self._place_when_quiet)

    def _place_when_quiet(self) -> None:
        due = min(self._asked + PLACE_SECONDS, self._began + LATEST_SECONDS)
        if due > self._loop.now():
            self._alarm = self._loop.at(due, self._place_when_quiet)
        else:
            self._place()

    def _place(self) -> None:
        home, agent, own = self._home, self._agent, self._own
        leaders, self._waiting = self._waiting, {}
        is_everywhere, self._is_everywhere = self._is_everywhere, False
        for leader in leaders.values():
            self._note(leader.key)
        left, self._left, self._old = self._left | self._old, set(), set()

        def work() -> tuple[Placed, set[StemKey]]:
            self._on_batch()
            nothing = Placed(frozenset(), frozenset())
            placed = place(home, leaders, own, agent, is_everywhere) if leaders else nothing
            return placed, {run for run in left if not cgroups.remove(home.folder(*run))}

        def done(result: tuple[Placed, set[StemKey]] | None) -> None:
            self._alarm = None
            if result is not None:
                placed, lingering = result
                # One that has ended meanwhile is not told of again.
                ended = left | self._left
                self._on_placed(placed, {leader.key for leader in leaders.values()}, ended)
                for run in left - lingering:
                    self._forget(run)
                for run in lingering:
                    self._linger(run)
            if self._waiting or self._left:
                self._plan()

        self._thread.do(work, done)

    def _on_placed(self, placed: Placed, asked: set[RunKey], ended: set[StemKey]) -> None:
        if placed.problem:
            self._warn(f"not every process could be moved into its cgroup: {placed.problem}")
        for key in placed.runs:
            self._note(key)
        self.placed |= {key for key in placed.whole & asked if (cgroups.stem_of(key[0]), key[1]) not in ended}

    def _note(self, key: RunKey) -> None:
        stem = cgroups.stem_of(key[0])
        runs = self._runs.get(stem, ())
        if key[1] not in runs:
            self._runs[stem] = (*runs, key[1])

    def _linger(self, run: StemKey) -> None:
        """Remove the cgroup of a run that has ended as soon as its last descendant has."""
        if run in self._lingering or self._remove(run):
            return
        try:
            events = cgroups.open_events(self._home.folder(*run))
        except OSError:
            return
        self._lingering[run] = events

        def on_change() -> None:
            if run in self._lingering and not cgroups.is_populated_by(events):
                self._remove(run)

        self._loop.watch(events, on_change, is_kernel_file=True)
        self._loop.soon(on_change)

    def _remove(self, run: StemKey) -> bool:
        if not cgroups.remove(self._home.folder(*run)):
            return False
        self._forget(run)
        return True

    def _forget(self, run: StemKey) -> None:
        events = self._lingering.pop(run, None)
        if events is not None:
            self._loop.forget(events)
            os.close(events)
        stem, number = run
        runs = tuple(other for other in self._runs.pop(stem, ()) if other != number)
        if runs:
            self._runs[stem] = runs
