"""A supervisor may be killed between any two acts: the next one, with the journal and the keeper, goes on.

One story is played again and again, and cut at each write to a file and each message in turn. The story:
`a` is restarted, ends as it may, is started; `b` ignores SIGTERM and is stopped; `c` cannot be started
twice; `d` crashes, is stopped and started.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.cut_lives import Killed, Life, Stage
from fakes.small_roster import a_spec
from fleet_agent.core.model import Autorestart, Exit, GroupSpec, Process, State
from fleet_agent.core.verbs import Verb
from fleet_agent.supervisor.operations import Request
from fleet_agent.supervisor.wait_status import exit_of

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


class Story(Stage):
    """Plays it over as many supervisors as it takes."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        has_descendants: bool,
        killing: Callable[[int], bool] = lambda _: False,
    ) -> None:
        super().__init__(folder, patch, GROUP, has_descendants=has_descendants, killing=killing)
        self.keeper.stubborn.add("g:b")
        self.keeper.failing |= {("g:c", 1), ("g:c", 2)}
        self.answers: dict[str, list[str]] = {}
        self._life: Life | None = None

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
                    self.pass_time(0.5)
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
    for numbers in story.numbers.values():
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
