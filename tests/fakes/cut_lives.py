"""Supervisors as short as a test wants them: real rooms over a keeper that is data, cut off at any act."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import fleet_agent.supervisor.journal as journal_room
import pytest
from fakes.held_runs import HeldRuns, NoLogs
from fakes.planted_trees import PlantedTrees
from fakes.small_roster import some_desires
from fleet_agent.core import events
from fleet_agent.core.model import GroupSpec, Now, Process, ProcessSpec
from fleet_agent.link.messages import Exited, SendSignal, Spawn, Spawned, SpawnFailed, ToKeeper
from fleet_agent.supervisor import resuming
from fleet_agent.supervisor.children import Children
from fleet_agent.supervisor.journal import Journal
from fleet_agent.supervisor.logs.worker import LogWorker
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.operations import Operations
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.trees.trees import Trees
from fleet_api.rows import PositionRow


class Killed(BaseException):
    """SIGKILL: nothing of the supervisor runs after it."""


class Fuse:
    """Burns down with each act that the world can see; `killing` says at which of them the end comes."""

    def __init__(self, killing: Callable[[int], bool]) -> None:
        self.acts = 0
        self._killing = killing

    def act(self) -> None:
        self.acts += 1
        if self._killing(self.acts):
            raise Killed


class Stage:
    """What outlives every supervisor: folder, clock, keeper; `history` is all that was journalled.

    The fuse burns at each write to the journal and the results, where a write may be cut in half, and at each
    message to the keeper.
    """

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        group: GroupSpec,
        keeper: Callable[[Callable[[], Now]], HeldRuns] = HeldRuns,
        has_descendants: bool = False,
        killing: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.folder = folder
        self.group = group
        self.has_descendants = has_descendants
        self.now = Now(1000.0, 5000.0)
        self.keeper = keeper(lambda: self.now)
        self.fuse = Fuse(killing)
        self.lives = 0
        self.history: list[dict[str, Any]] = []
        self.incarnation = ""
        self.numbers: dict[str, list[int]] = {}
        """Those of each incarnation: a write that was cut in two begins another."""
        write_all = journal_room._write_all

        def write(fd: int, data: bytes) -> None:
            try:
                self.fuse.act()
            except Killed:
                write_all(fd, data[: len(data) // 2])
                raise
            write_all(fd, data)
            if data.startswith(b"["):
                self.history += json.loads(data)
                self.numbers.setdefault(self.incarnation, []).extend(e["n"] for e in json.loads(data))
            elif data.startswith(b'{"v"'):
                first, *lines = map(json.loads, data.splitlines())
                self.incarnation = first["incarnation"]
                news = [entry for line in lines if isinstance(line, list) for entry in line]
                self.history += news
                self.numbers.setdefault(self.incarnation, []).extend(entry["n"] for entry in news)
            self.fuse.act()

        patch.setattr(journal_room, "_write_all", write)
        for name in ("note_begun", "note_result"):
            patch.setattr(Results, name, self._burning(getattr(Results, name)))

    def _burning(self, act: Callable[..., None]) -> Callable[..., None]:
        def burn(*arguments: Any) -> None:
            self.fuse.act()
            act(*arguments)
            self.fuse.act()

        return burn

    def failed(self, text: str) -> None:
        raise AssertionError(text)

    def pass_time(self, seconds: float) -> None:
        self.now = Now(self.now.monotonic + seconds, self.now.wall + seconds)


class Life:
    """One supervisor, composed as the agent composes it, of real rooms."""

    def __init__(self, story: "Stage") -> None:
        self._story = story
        self.logs = NoLogs()
        self.trees = PlantedTrees(story.has_descendants)
        loop = Loop(lambda: story.now.monotonic)
        self.loop = loop
        journal = Journal(str(story.folder), "boot", story.failed)
        self.roster = Roster(loop, journal, lambda: story.now, self._act)
        self.children = Children(
            loop,
            self.roster,
            cast(LogWorker, self.logs),
            cast(Trees, self.trees),
            self._send,
            lambda _: None,
            strip_ansi=False,
            report_shortage=print,
        )
        results = Results(str(story.folder / "results"), story.now, print)
        self.desires = some_desires(story.folder, loop, self.roster, story.failed)
        self.operations = Operations(
            self.roster, results, self.desires, lambda: story.now, self._position, lambda: ""
        )
        self._journal = journal

    def begin(self) -> None:
        story = self._story
        resuming.go_on(
            [story.group],
            self.roster,
            self._journal,
            self.children,
            self._journal.restore(),
            story.keeper.introduce(),
            story.now,
            f"incarnation {story.lives}",
            self.desires,
        )
        resuming.autostart(self.roster)

    def _position(self) -> PositionRow:
        return {"agent_id": "a", "incarnation": "", "sequence": self._journal.sequence}

    def _act(self, spec: ProcessSpec, process: Process, effect: events.Effect) -> None:
        if isinstance(effect, events.Spawn):
            self._send(Spawn(spec.id, effect.run, "true", ["true"], {}))
        elif isinstance(effect, events.EndTree | events.KillTree):
            self._story.fuse.act()
            self.trees.act(spec.id, effect)
        else:
            self._send(SendSignal(spec.id, effect.run, effect.signal, effect.ordinal, effect.to_group))

    def _send(self, message: ToKeeper) -> None:
        self._story.fuse.act()
        self._story.keeper.receive(message)
        self._story.fuse.act()

    def turn(self) -> bool:
        """Let one thing happen; False when there is nothing."""
        if self.trees.waiting:
            self.roster.apply(*self.trees.waiting.pop(0))
            return True
        outbox = self._story.keeper.outbox
        if outbox:
            match message := self._story.keeper.next_told():
                case Spawned():
                    self.children.on_spawned(message, [])
                case SpawnFailed():
                    self.children.on_spawn_failed(message)
                case Exited():
                    self.children.on_exited(message)
            return True
        if self.logs.answers:
            self.children.on_drained(self.logs.answers.pop(0))
            return True
        self.loop.soon(self.loop.stop)
        self.loop.run()
        return bool(outbox or self.logs.answers)
