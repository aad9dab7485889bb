"""The end of descendants within a stop: asked, waited for, killed, and told to the core when they are gone.

Called by `trees`. Who is waited for is in a cgroup that tells when it is empty, or has a handle that does.
"""

import os
from collections.abc import Callable

from fleet_agent.core.events import TreeEnded
from fleet_agent.core.tree import RunKey, counted
from fleet_agent.supervisor.loop import Alarm, Loop
from fleet_agent.supervisor.trees import cgroups, procfs, signals

MAX_WATCHED = 64
"""Processes of one tree whose ends are waited for at the same time, where there is no cgroup."""

_LOOK_AGAIN_SECONDS = 0.2
_SIGKILL = 9


class Hunt:
    """The end of one process's descendants: who was asked, who was killed, what is waited for."""

    def __init__(
        self,
        loop: Loop,
        key: RunKey,
        look: Callable[["Hunt"], None],
        finish: Callable[["Hunt", TreeEnded], None],
    ) -> None:
        """`look` finds who there is and calls `found`; `finish` is called once, when nobody is left."""
        self._loop = loop
        self._look = look
        self._finish = finish
        self.key = key
        self.is_awaited = False
        self.is_killing = False
        self.is_over = False
        self._signal = 0
        self._asked: set[int] = set()
        self._killed: set[int] = set()
        self._watched: set[int] = set()
        self._retry: Alarm | None = None

    @property
    def has_killed(self) -> bool:
        """Whether there is something to tell of it."""
        return bool(self._killed)

    def ask(self, signal: int) -> None:
        """The process itself has ended: ask the rest with `signal`; 0 when they were asked before."""
        self.is_awaited = True
        self._signal = signal or self._signal
        self.is_killing |= signal == _SIGKILL
        self._look_soon()

    def kill(self, is_awaited: bool) -> None:
        """Kill them all, and whatever they fork meanwhile."""
        self.is_awaited |= is_awaited
        self.is_killing = True
        self._look_soon()

    def end(self) -> None:
        """Wait for nobody any more."""
        self.is_over = True
        self._unwatch()

    def found(self, folders: list[str], scanned: dict[int, int], leader: int) -> None:
        """Signal those that are new, and wait for all; tell when there are none.

        `folders` are the cgroups of the process, `scanned` who was found by /proc and when each started;
        `leader` is the process itself while it lives, which the keeper signals.
        """
        inside = {pid for folder in folders for pid in cgroups.members(folder)} - {leader}
        outside = {pid: at for pid, at in scanned.items() if pid not in inside and pid != leader}
        everybody = inside | outside.keys()
        if not everybody:
            self._tell("")
            return
        refused = self._signal_them(folders, inside, outside)
        forbidden = {pid for pid, error in refused.items() if isinstance(error, PermissionError)}
        if self.is_killing and forbidden >= everybody:
            self._killed -= everybody
            self._asked -= everybody
            self._tell(f"{counted(len(everybody))} cannot be signalled: Operation not permitted")
            return
        self._watch(folders, outside)

    def _tell(self, remaining: str) -> None:
        self._unwatch()
        if self.is_awaited:
            ended = len(self._asked - self._killed)
            self._finish(self, TreeEnded(self.key[1], ended, len(self._killed), remaining))

    def _signal_them(
        self, folders: list[str], inside: set[int], outside: dict[int, int]
    ) -> dict[int, OSError]:
        def is_same(pid: int) -> bool:
            line = procfs.stat(pid)
            return line is not None and line.started == outside[pid]

        def is_inside(pid: int) -> bool:
            return any(pid in cgroups.members(folder) for folder in folders)

        if self.is_killing:
            self._killed |= inside | outside.keys()
            refused = signals.send(outside, _SIGKILL, is_same)
            killed = [cgroups.kill(folder) for folder in folders]
            return refused if all(killed) else refused | signals.send(inside, _SIGKILL, is_inside)
        new = (inside | outside.keys()) - self._asked
        self._asked |= new
        if not self._signal:
            return {}
        refused = signals.send(new & inside, self._signal, is_inside)
        return refused | signals.send(new - inside, self._signal, is_same)

    def _look_soon(self) -> None:
        # Not at once: whoever asks is in the midst of a change of the process.
        self._loop.soon(lambda: None if self.is_over else self._look(self))

    def _watch(self, folders: list[str], outside: dict[int, int]) -> None:
        """Look again when all that were found are gone."""
        self._unwatch()
        for folder in folders:
            try:
                self._watch_cgroup(cgroups.open_events(folder))
            except OSError:
                continue
        for pid in list(outside)[:MAX_WATCHED]:
            try:
                handle = os.pidfd_open(pid)
            except OSError:
                continue
            line = procfs.stat(pid)
            if line is not None and line.is_alive and line.started == outside[pid]:
                self._watched.add(handle)
                self._loop.watch(handle, lambda handle=handle: self._drop(handle))  # type: ignore[misc]
            else:
                os.close(handle)
        if not self._watched:
            self._retry = self._loop.after(_LOOK_AGAIN_SECONDS, self._look_soon)

    def _watch_cgroup(self, events: int) -> None:
        def on_change() -> None:
            if events in self._watched and not cgroups.is_populated_by(events):
                self._drop(events)

        self._watched.add(events)
        self._loop.watch(events, on_change, is_kernel_file=True)
        self._loop.soon(on_change)

    def _drop(self, fd: int) -> None:
        self._close(fd)
        if not self._watched:
            self._look_soon()

    def _close(self, fd: int) -> None:
        self._watched.discard(fd)
        self._loop.forget(fd)
        os.close(fd)

    def _unwatch(self) -> None:
        for fd in tuple(self._watched):
            self._close(fd)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
