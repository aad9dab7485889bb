"""A supervisor may be killed between any two acts: the next one, with the journal and the keeper, goes on.

One story is played again and again, and cut at each write to a file and each message in turn. The story:
`a` is restarted, ends as it may, is started; `b` ignores SIGTERM and is stopped; `c` cannot be started
twice; `d` crashes, is stopped and started.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import fleet_agent.supervisor.journal as journal_room
import pytest
from fakes.held_runs import HeldRuns, NoLogs
from fakes.planted_trees import PlantedTrees
from fakes.small_roster import a_spec, some_desires
from fleet_agent.core import events
from fleet_agent.core.model import Autorestart, Exit, GroupSpec, Now, Process, ProcessSpec, State
from fleet_agent.core.verbs import Verb
from fleet_agent.link.messages import Exited, SendSignal, Spawn, Spawned, SpawnFailed, ToKeeper
from fleet_agent.supervisor import resuming
from fleet_agent.supervisor.children import Children
from fleet_agent.supervisor.journal import Journal
from fleet_agent.supervisor.logs.worker import LogWorker
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.operations import Operations, Request
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.trees.trees import Trees
from fleet_agent.supervisor.wait_status import exit_of
from fleet_api.rows import PositionRow

GROUP = GroupSpec(
    "g",
    999,
    (
        a_spec("a"),
        a_spec("b", stopwaitsecs=4, autorestart=Autorestart.ALWAYS),
        a_spec("c"),
        a_spec("d"),
    ),
)
DIED_OF_3 = 3 << 8


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


class Life:
    """One supervisor, composed as the agent composes it, of real rooms."""

    def __init__(self, story: "Story") -> None:
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
            [GROUP],
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
            match message := outbox.pop(0):
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


class Story:
    """Plays it over as many supervisors as it takes."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        has_descendants: bool,
        killing: Callable[[int], bool] = lambda _: False,
    ) -> None:
        self.has_descendants = has_descendants
        self.folder = folder
        self.now = Now(1000.0, 5000.0)
        self.keeper = HeldRuns(lambda: self.now)
        self.keeper.stubborn.add("g:b")
        self.keeper.failing |= {("g:c", 1), ("g:c", 2)}
        self.fuse = Fuse(killing)
        self.lives = 0
        self.history: list[dict[str, Any]] = []
        self.answers: dict[str, list[str]] = {}
        self._life: Life | None = None
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

    def play(self) -> None:
        run = {name: f"g:{name}" for name in "abcd"}
        self._until(lambda life: life.roster[run["c"]].process.state is State.RUNNING)
        self._operate(Verb.RESTART, "a")
        self._die(run["d"], 1, DIED_OF_3)
        self._operate(Verb.STOP, "b")
        self._operate(Verb.STOP, "d")
        self._operate(Verb.START, "d")
        self._die(run["a"], 2, 0)
        self._operate(Verb.START, "a")
        self._until(lambda life: not any(held.status is not None for held in self.keeper.runs.values()))

    def processes(self) -> dict[str, Process]:
        assert self._life is not None
        return {id_[2:]: process for id_, process in self._life.roster.states().items()}

    def _operate(self, verb: Verb, name: str) -> None:
        key = f"{verb} {name}"
        request = Request(key, key, "alice", "", verb, 0, True, (f"g:{name}",), ())
        asked: list[Life] = []

        def reply(result: dict[str, Any]) -> None:
            self.answers[key] = [outcome["result"] for outcome in result["outcomes"]]

        def ask_and_see(life: Life) -> bool:
            # As a client does: ask the next supervisor, too, until there is an answer.
            if key not in self.answers and life not in asked:
                asked.append(life)
                life.operations.submit(request, reply)
            return key in self.answers

        self._until(ask_and_see)

    def _die(self, id_: str, run: int, status: int) -> None:
        self.keeper.die(id_, run, status)
        self._until(lambda life: not life.turn())

    def _until(self, is_so: Callable[[Life], bool]) -> None:
        """Let things happen, and time pass, over any number of supervisors."""
        for _ in range(300):
            try:
                if self._life is None:
                    self.lives += 1
                    life = Life(self)
                    life.begin()
                    self._life = life
                if is_so(self._life):
                    return
                if not self._life.turn():
                    self.now = Now(self.now.monotonic + 0.5, self.now.wall + 0.5)
            except Killed:
                self._life = None
        raise AssertionError(f"never came about; {self._life and self._life.roster.states()}")


def check(story: Story) -> None:
    """What holds wherever it was cut."""
    states = {name: process.state for name, process in story.processes().items()}
    assert states == {
        "a": State.RUNNING,
        "b": State.STOPPED,
        "c": State.RUNNING,
        "d": State.RUNNING,
    }
    keeper = story.keeper
    assert dict(keeper.spawned) == dict.fromkeys(
        [("g:a", 1), ("g:a", 2), ("g:a", 3), ("g:b", 1), ("g:c", 3), ("g:d", 1), ("g:d", 2), ("g:d", 3)], 1
    ), "each life is lived once, and none more than was asked for"
    assert keeper.ends == {
        ("g:a", 1): 15,
        ("g:a", 2): 0,
        ("g:b", 1): 9,
        ("g:d", 1): DIED_OF_3,
        ("g:d", 2): 15,
    }
    for (id_, run), status in keeper.ends.items():
        told = [e for e in story.history if e["id"] == id_ and e["p"]["run"] == run and e["p"]["exit"]]
        exits = {Exit.from_state(entry["p"]["exit"]) for entry in told}
        assert exits == {exit_of(status)}, f"{id_} run {run}"
    assert dict(keeper.released) == dict.fromkeys(keeper.ends, 1)
    assert keeper.signals["g:a", 1] == keeper.signals["g:d", 2] == [(1, 15)]
    stubborn = keeper.signals["g:b", 1]
    assert [ordinal for ordinal, _ in stubborn] == sorted({ordinal for ordinal, _ in stubborn})
    assert (stubborn[0][1], stubborn[-1][1]) == (15, 9)
    assert story.answers == {
        f"{verb}": ["ok"] for verb in ("restart a", "stop b", "stop d", "start d", "start a")
    }
    numbers = [entry["n"] for entry in story.history]
    assert numbers == list(range(1, len(numbers) + 1)), "each change is numbered once"


def acts_of_the_story(folder: Path, has_descendants: bool) -> int:
    with pytest.MonkeyPatch.context() as patch:
        story = Story(folder, patch, has_descendants)
        story.play()
        check(story)
        assert story.lives == 1
        return story.fuse.acts


@pytest.mark.parametrize("has_descendants", [False, True])
def test_a_kill_after_any_act_harms_nothing(tmp_path: Path, has_descendants: bool) -> None:
    (tmp_path / "whole").mkdir()
    acts = acts_of_the_story(tmp_path / "whole", has_descendants)
    assert acts > 100
    for fatal in range(1, acts + 1):
        folder = tmp_path / str(fatal)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            story = Story(folder, patch, has_descendants, lambda act, fatal=fatal: act == fatal)  # type: ignore[misc]
            try:
                story.play()
                assert story.lives == 2
                check(story)
            except AssertionError as error:
                raise AssertionError(f"killed at act {fatal} of {acts}: {error}") from error


@pytest.mark.parametrize("every", [7, 11, 13, 17, 19, 23])
def test_kills_again_and_again_harm_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    story = Story(tmp_path, monkeypatch, every % 4 == 3, lambda act: act % every == 0)
    story.play()
    assert story.lives > 4
    check(story)
