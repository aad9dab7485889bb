"""A roster without a keeper: effects are collected, facts come from the test, the clock stands still."""

from collections.abc import Callable
from pathlib import Path

from fleet_agent.core import events
from fleet_agent.core.model import Exit, GroupSpec, Now, Process, ProcessSpec
from fleet_agent.supervisor.desires import Desires
from fleet_agent.supervisor.epochs import Epochs
from fleet_agent.supervisor.journal import Journal
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.roster import Roster


class SmallRoster:
    """One group `g` with processes named by the test."""

    def __init__(self, folder: Path, *specs: ProcessSpec, boot: str = "boot") -> None:
        self.now = Now(1000.0, 5000.0)
        self.effects: list[tuple[str, events.Effect]] = []
        self.loop = Loop(lambda: self.now.monotonic)
        self.journal = Journal(str(folder), boot, lambda _: None)
        self.roster = Roster(self.loop, self.journal, lambda: self.now, self._act)
        restored = self.journal.restore()
        self.roster.add(GroupSpec("g", 999, specs), restored.processes if restored else {})
        self.said: list[str] = []
        self.desires = some_desires(folder, self.loop, self.roster, self.said.append)
        self.journal.begin("inc", restored.sequence if restored else 0, self.roster.states())

    def _act(self, spec: ProcessSpec, process: Process, effect: events.Effect) -> None:
        self.effects.append((spec.name, effect))

    def process(self, name: str) -> Process:
        return self.roster[f"g:{name}"].process

    def spawned(self, name: str, pid: int = 77) -> None:
        self.roster.apply(f"g:{name}", events.Spawned(self.process(name).run, pid, self.now))

    def exited(self, name: str, code: int = 0) -> None:
        self.roster.apply(f"g:{name}", events.Exited(self.process(name).run, Exit(code=code)))

    def pass_time(self, seconds: float) -> None:
        self.now = Now(self.now.monotonic + seconds, self.now.wall + seconds)


def at_once(act: Callable[[], None], done: Callable[[OSError | None], None]) -> None:
    """Where nothing is done aside."""
    error = None
    try:
        act()
    except OSError as failure:
        error = failure
    done(error)


def some_desires(folder: Path, loop: Loop, roster: Roster, report: Callable[[str], None]) -> Desires:
    """Desires that are written down before the call returns."""
    return Desires(str(folder / "desires.json"), loop, at_once, roster.__contains__, report, report)


def some_epochs(folder: Path) -> Epochs:
    """Epochs that are written down before the call returns."""
    return Epochs(str(folder / "epochs.json"), Loop(lambda: 0.0), at_once, print)


def a_spec(name: str, **changes: object) -> ProcessSpec:
    """A process of group `g` that is RUNNING as soon as it is spawned."""
    return ProcessSpec(name, "g", "true", startsecs=0)._replace(**changes)  # type: ignore[arg-type]
