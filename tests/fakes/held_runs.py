"""A keeper and its children as data: it outlives every supervisor, and keeps books of what was carried out.

`HeldRuns` is told messages at once, as a keeper that is never busy; what it has to say waits in `outbox`
until the test delivers it, or is lost with the supervisor it was meant for.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fleet_agent.core.model import LogSpec, Now
from fleet_agent.link.messages import (
    Child,
    Exited,
    Release,
    SendSignal,
    Spawn,
    Spawned,
    SpawnFailed,
    ToKeeper,
    ToSupervisor,
)
from fleet_agent.supervisor.children import Found
from fleet_agent.supervisor.logs.answers import Drained, RunClosed

Key = tuple[str, int]


@dataclass
class Held:
    """One run."""

    pid: int
    born: Now
    signals: int = 0
    status: int | None = None
    ended_wall: float = 0.0
    received: list[int] = field(default_factory=list)


class HeldRuns:
    """`stubborn` processes ignore SIGTERM; `failing` says which runs cannot be started."""

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self.runs: dict[Key, Held] = {}
        self.spawned: Counter[Key] = Counter()
        self.released: Counter[Key] = Counter()
        self.ends: dict[Key, int] = {}
        self.signals: dict[Key, list[tuple[int, int]]] = {}
        self.stubborn: set[str] = set()
        self.failing: set[Key] = set()
        self.outbox: list[ToSupervisor] = []

    def receive(self, message: ToKeeper) -> None:
        """Carry out what a supervisor asks."""
        match message:
            case Spawn():
                self._spawn(message.process, message.run)
            case SendSignal():
                self._signal(message)
            case Release():
                key = (message.process, message.run)
                held = self.runs.pop(key)
                assert held.status is not None, f"{key} is released and lives"
                self.released[key] += 1
            case _:
                raise AssertionError(f"not foreseen: {message}")

    def _spawn(self, process: str, run: int) -> None:
        key = (process, run)
        if key in self.runs:
            return
        if key in self.failing:
            self.outbox.append(SpawnFailed(process, run, "fork", 12, "no memory"))
            return
        living = [other for other, held in self.runs.items() if other[0] == process and held.status is None]
        assert not living, f"{key} is a second copy of {living}"
        self.spawned[key] += 1
        now = self._clock()
        held = self.runs[key] = Held(1000 + sum(self.spawned.values()), now)
        self.outbox.append(Spawned(process, run, held.pid, now.monotonic, now.wall, [], []))

    def _signal(self, message: SendSignal) -> None:
        key = (message.process, message.run)
        held = self.runs.get(key)
        if held is None or held.status is not None or message.ordinal <= held.signals:
            return
        held.signals = message.ordinal
        self.signals.setdefault(key, []).append((message.ordinal, message.signal))
        if message.signal == 9 or message.process not in self.stubborn:
            self.die(message.process, message.run, message.signal)

    def die(self, process: str, run: int, status: int) -> None:
        """A run ends with this wait status, unless it has already."""
        held = self.runs.get((process, run))
        if held is not None and held.status is None:
            now = self._clock()
            held.status, held.ended_wall = status, now.wall
            self.ends[process, run] = status
            self.outbox.append(Exited(process, run, held.pid, status, now.monotonic, now.wall))

    def next_told(self) -> ToSupervisor:
        """What it says next."""
        return self.outbox.pop(0)

    def introduce(self) -> list[Found]:
        """What a new supervisor is told; what the last one was to hear is lost."""
        self.outbox.clear()
        return [
            Found(
                Child(
                    process,
                    run,
                    held.pid,
                    held.born.monotonic,
                    held.born.wall,
                    held.signals,
                    [],
                    [],
                    held.status,
                    held.ended_wall,
                ),
                {},
            )
            for (process, run), held in self.runs.items()
        ]


class NoLogs:
    """Stands in for the log worker: nothing is read, every ended run is drained when the test says so.

    `lingering` are processes whose streams somebody else holds on to.
    """

    def __init__(self) -> None:
        self.answers: list[Drained | RunClosed] = []
        self.written: list[tuple[str, str, bytes, LogSpec | None]] = []
        self.opened: list[tuple[Key, dict[str, int], dict[str, LogSpec]]] = []
        self.lingering: set[str] = set()

    def open_run(
        self, process: str, run: int, streams: dict[str, int], logs: dict[str, LogSpec], strip: bool = False
    ) -> None:
        self.opened.append(((process, run), streams, logs))

    def ended(self, process: str, run: int) -> None:
        self.answers.append(Drained(process, run, process not in self.lingering))

    def write(self, process: str, stream: str, data: bytes, log: LogSpec | None = None) -> None:
        self.written.append((process, stream, data, log))
