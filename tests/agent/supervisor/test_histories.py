"""Random histories: operators, deaths, and kills of supervisor and keeper at any act, over a rude keeper."""

from pathlib import Path
from random import Random

import pytest
from fakes.cut_lives import Killed, Life, Stage
from fakes.rude_runs import RudeRuns
from fakes.small_roster import a_spec
from fleet_agent.core.machine import OUTSTANDING_STATES
from fleet_agent.core.model import Autorestart, Exit, GroupSpec, State
from fleet_agent.core.verbs import Verb
from fleet_agent.supervisor.operations import Request
from fleet_agent.supervisor.wait_status import exit_of

HISTORIES = 150
ACTS = 60
GROUP = GroupSpec(
    "g",
    999,
    (
        a_spec("a"),
        a_spec("b", autorestart=Autorestart.ALWAYS, stopwaitsecs=2),
        a_spec("c", startsecs=1, autorestart=Autorestart.ALWAYS),
        a_spec("d", autorestart=Autorestart.NEVER),
    ),
)


class History(Stage):
    """One history, decided by dice."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, dice: Random) -> None:
        self._dice = dice
        self._fatal = 0
        self.rude: RudeRuns
        super().__init__(
            folder,
            patch,
            GROUP,
            self._make_keeper,
            has_descendants=dice.random() < 0.3,
            killing=lambda act: act == self._fatal,
        )
        self.rude.stubborn.add("g:b")
        self.asked: dict[str, Request] = {}
        self.answers: dict[str, dict[str, object]] = {}
        self.life: Life | None = None

    def _make_keeper(self, clock: object) -> RudeRuns:
        self.rude = RudeRuns(lambda: self.now)
        return self.rude

    def play(self) -> None:
        acts = [self._operate] * 3 + [self._die] * 2 + [self._turn] * 8 + [self._wait] * 2
        acts += [self._repeat, self._be_killed, self._light_the_fuse, self._kill_keeper]
        for _ in range(ACTS):
            self._do(self._dice.choice(acts))
        self._fatal = 0
        self._settle()

    def _do(self, act: object) -> bool:
        """Do it, in the present supervisor or the next; whether that was cut short."""
        try:
            if self.life is None:
                self.lives += 1
                life = Life(self)
                life.begin()
                self.life = life
                self._ask_again()
            act()  # type: ignore[operator]
        except Killed:
            self.life = None
            return True
        return False

    # ------------------------------------------------------------ acts

    def _operate(self) -> None:
        verb = self._dice.choice((Verb.START, Verb.STOP, Verb.RESTART))
        key = f"k{len(self.asked)}"
        id_ = self._dice.choice([spec.id for spec in GROUP.processes])
        self.asked[key] = Request(key, key, "alice", "", verb, 0, self._dice.random() < 0.7, (id_,), ())
        self._submit(key)

    def _submit(self, key: str) -> None:
        assert self.life is not None
        life, request = self.life, self.asked[key]

        def reply(result: dict[str, object]) -> None:
            self.answers[key] = result
            self._check_answer(life, request, result)

        life.operations.submit(request, reply)

    def _ask_again(self) -> None:
        for key in [key for key in self.asked if key not in self.answers]:
            self._submit(key)

    def _die(self) -> None:
        living = [key for key, held in self.rude.runs.items() if held.status is None]
        if living:
            self.rude.die(*self._dice.choice(living), self._dice.choice((0, 256, 9, 11)))

    def _turn(self) -> None:
        assert self.life is not None
        self.life.turn()

    def _wait(self) -> None:
        self.pass_time(self._dice.choice((0.1, 1.0, 3.0)))

    def _repeat(self) -> None:
        self.rude.repeat(self._dice)

    def _be_killed(self) -> None:
        raise Killed

    def _light_the_fuse(self) -> None:
        self._fatal = self.fuse.acts + self._dice.randint(1, 12)

    def _kill_keeper(self) -> None:
        self.rude.be_killed(self._dice)
        raise Killed

    # ------------------------------------------------------------ what must hold

    def _check_answer(self, life: Life, request: Request, result: dict[str, object]) -> None:
        outcomes = result["outcomes"]
        assert isinstance(outcomes, list)
        for outcome in outcomes:
            assert outcome["reason"], "an answer without a reason"
            if request.verb is Verb.STOP and request.wait:
                is_told_why = outcome["result"] == "failed"
                assert is_told_why or not self._living(request.ids[0]) or result["replayed"], (
                    "a stop is said to be over, and the run lives"
                )

    def _living(self, id_: str) -> list[int]:
        return [
            run for (process, run), held in self.rude.runs.items() if process == id_ and held.status is None
        ]

    def _settle(self) -> None:
        """Let all that is under way come to its end."""
        for _ in range(400):
            is_over = [False]

            def act(is_over: list[bool] = is_over) -> None:
                assert self.life is not None
                if self.life.turn():
                    return
                self.pass_time(0.5)
                states = self.life.roster.states().values()
                is_under_way = any(
                    process.timer or process.state in OUTSTANDING_STATES - {State.RUNNING}
                    for process in states
                )
                is_over[0] = not is_under_way and len(self.answers) == len(self.asked)

            self._do(act)
            if is_over[0]:
                return
        raise AssertionError(f"it never comes to rest: {self.life and self.life.roster.states()}")

    def check(self) -> None:
        assert self.life is not None
        for id_, process in self.life.roster.states().items():
            living = self._living(id_)
            assert living == ([process.run] if process.state is State.RUNNING else []), f"{id_}: {process}"
            assert process.run == self.rude.highest[id_]
            assert process.reason
        assert all(held.status is None for held in self.rude.runs.values()), "what has ended is released"
        for numbers in self.numbers.values():
            assert numbers == list(range(1, len(numbers) + 1)), "each change is numbered once"
        self._check_exits()

    def _check_exits(self) -> None:
        told: dict[tuple[str, int], list[Exit]] = {}
        before: dict[str, str] = {}
        for entry in self.history:
            process = entry["p"]
            was, before[entry["id"]] = before.get(entry["id"], ""), process["state"]
            if process["exit"] and was in OUTSTANDING_STATES and process["state"] not in OUTSTANDING_STATES:
                told.setdefault((entry["id"], process["run"]), []).append(Exit.from_state(process["exit"]))
        for key, exits in told.items():
            assert len(exits) == 1, f"the end of {key} was told {len(exits)} times"
            if key not in self.rude.gone and key in self.rude.ends:
                assert exits[0] in (exit_of(self.rude.ends[key]), Exit()) or self.rude.ends[key] == -1


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_nothing_is_doubled_or_forgotten_whatever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    history = History(tmp_path, monkeypatch, Random(seed))
    history.play()
    history.check()
