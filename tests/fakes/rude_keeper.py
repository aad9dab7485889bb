"""A keeper, a kernel and a clock that do all they may: late, twice, out of order, too early.

It plays a history of one process against `transition` and keeps its own books of what is true, so that
promises can be checked after every step.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fleet_agent.core.events import (
    Effect,
    EndTree,
    Event,
    Exited,
    KillTree,
    Move,
    SignalAsked,
    SignalFailed,
    Spawn,
    Spawned,
    SpawnFailed,
    StartAsked,
    Step,
    StopAsked,
    TimerFired,
    TreeEnded,
)
from fleet_agent.core.machine import resume, transition
from fleet_agent.core.model import Exit, Now, Process, ProcessSpec, Timer, TimerKind


@dataclass
class Run:
    """The truth about one run."""

    number: int
    asked_at: float
    pid: int = 0
    born_at: float = 0.0
    ended: bool = False
    stop_signal_at: float | None = None
    told_spawned: bool = False
    told_end: bool = False
    has_descendants: bool = False
    is_tree_asked: bool = False


@dataclass
class RudeKeeper:
    """Plays choices (numbers) as actions."""

    spec: ProcessSpec
    process: Process = field(default_factory=Process)
    clock: float = 100.0
    runs: dict[int, Run] = field(default_factory=dict)
    undelivered: list[Event] = field(default_factory=list)
    delivered: list[Event] = field(default_factory=list)
    timers: list[Timer] = field(default_factory=list)
    pids: Iterator[int] = field(default_factory=lambda: iter(range(1000, 10**9)))
    wanted: bool = False
    starts: list[tuple[float, bool]] = field(default_factory=list)

    @property
    def now(self) -> Now:
        return Now(self.clock, self.clock + 1.7e9)

    @property
    def living(self) -> list[Run]:
        """Runs that live or may yet come to life."""
        return [run for run in self.runs.values() if not run.ended]

    def act(self, action: str, choice: int) -> Step | None:
        """Do one thing; the step it led to, if any."""
        return getattr(self, f"_{action}")(choice)  # type: ignore[no-any-return]

    def _start(self, _choice: int) -> Step:
        if self.process.state.value != "UNKNOWN":
            self.wanted = True
        return self.tell(StartAsked("asked by test"))

    def _stop(self, _choice: int) -> Step:
        self.wanted = False
        run = self.runs.get(self.process.run)
        has_left = run is not None and run.told_end and run.has_descendants
        return self.tell(StopAsked("asked by test", has_left))

    def _signal(self, choice: int) -> Step:
        return self.tell(SignalAsked((1, 10, 12)[choice % 3]))

    def _wait(self, choice: int) -> None:
        self.clock += (0.0, 0.1, 0.5, 1.0, 1.5, 3.0, 11.0)[choice % 7]

    def _birth(self, choice: int) -> None:
        for run in self.living:
            if not run.pid:
                if choice % 4 == 0:
                    run.ended = True
                    self.undelivered.append(SpawnFailed(run.number, "can't find command 'x'"))
                    return
                run.pid = next(self.pids)
                run.born_at = self.clock
                self.undelivered.append(Spawned(run.number, run.pid, self.now))

    def _death(self, choice: int) -> None:
        for run in self.living:
            if run.pid:
                run.ended = True
                ends = (Exit(0), Exit(1), Exit(None, 9), Exit(None, 11, True), Exit())
                run.has_descendants = choice % 2 == 1
                self.undelivered.append(Exited(run.number, ends[choice % len(ends)], run.has_descendants))

    def _tree(self, choice: int) -> None:
        """The descendants of a run end, whether anybody asked them to or not."""
        for run in self.runs.values():
            if run.ended and run.has_descendants:
                run.has_descendants = False
                self._tell_tree(run, choice % 3)

    def _tell_tree(self, run: Run, killed: int) -> None:
        if run.is_tree_asked and not run.has_descendants:
            run.is_tree_asked = False
            self.undelivered.append(TreeEnded(run.number, 1, killed))

    def _deliver(self, choice: int) -> Step | None:
        """Any undelivered fact, not only the oldest."""
        if not self.undelivered:
            return None
        fact = self.undelivered.pop(choice % len(self.undelivered))
        self.delivered.append(fact)
        return self.tell(fact)

    def _repeat(self, choice: int) -> Step | None:
        """A fact that was told before, of this run or of an old one."""
        if not self.delivered:
            return None
        return self.tell(self.delivered[choice % len(self.delivered)])

    def _fire(self, choice: int) -> Step | None:
        """Any timer that was ever set, also a replaced one, late or too early."""
        if not self.timers:
            return None
        return self.tell(TimerFired(self.timers[choice % len(self.timers)].kind))

    def _fire_any(self, choice: int) -> Step:
        return self.tell(TimerFired(list(TimerKind)[choice % len(TimerKind)]))

    def _due(self, _choice: int) -> Step | None:
        """What a decent shell does: wait for the process's timer and tell it."""
        timer = self.process.timer
        if timer is None:
            return None
        self.clock = max(self.clock, timer.due)
        return self.tell(TimerFired(timer.kind))

    def _refuse(self, choice: int) -> Step | None:
        """The kernel refuses a signal to some run of this or an earlier time."""
        run = choice % (len(self.runs) + 1)
        if self.process.state.value == "STOPPING" and run == self.process.run:
            self.wanted = False
        return self.tell(SignalFailed(run, "EPERM"))

    def _replace(self, _choice: int) -> None:
        """The supervisor is replaced by one that knows what was journalled."""
        self.process = Process.from_state(self.process.to_state())
        if self.process.is_ending_tree:
            # What the one before was waiting for is told to nobody.
            self.undelivered = [fact for fact in self.undelivered if not isinstance(fact, TreeEnded)]
            step = resume(self.spec, self.process, None, self.now)
            for effect in step.effects:
                self._carry_out(effect, StopAsked("asked by test"), self.process)

    def tell(self, event: Event) -> Step:
        """Take the step and check what must hold of every step."""
        before = self.process
        step = transition(self.spec, before, event, self.now)
        self.process = step.process
        self._check_moves(before, step.moves)
        for effect in step.effects:
            self._carry_out(effect, event, before)
        if step.process.timer is not None and step.process.timer != before.timer:
            self.timers.append(step.process.timer)
        self._take_note(event)
        return step

    def _check_moves(self, before: Process, moves: tuple[Move, ...]) -> None:
        state = before.state
        for move in moves:
            assert move.old is state
            assert move.new is not state
            assert move.reason
            state = move.new
        assert state is self.process.state

    def _carry_out(self, effect: Effect, event: Event, before: Process) -> None:
        if isinstance(effect, Spawn):
            assert not self.living, "a second life"
            assert effect.run == before.run + 1, "a run number that was used or left out"
            asked = isinstance(event, StartAsked) or before.state.value == "STOPPING"
            if self.starts and not asked:
                assert self.clock - self.starts[-1][0] >= 1.0 - 1e-9, "started more than once a second"
            self.starts.append((self.clock, asked))
            self.runs[effect.run] = Run(effect.run, self.clock)
            return
        assert effect.run == self.process.run
        run = self.runs[effect.run]
        if isinstance(effect, (EndTree, KillTree)):
            self._carry_out_on_tree(effect, run)
            return
        if isinstance(event, SignalAsked):
            return
        if effect.signal == 9:
            assert run.stop_signal_at is not None, "SIGKILL without a stop signal before it"
            waited = self.clock - run.stop_signal_at
            assert waited >= self.spec.stopwaitsecs - 1e-9, f"SIGKILL after {waited} s"
        else:
            assert effect.signal == self.spec.stopsignal
            run.stop_signal_at = self.clock

    def _carry_out_on_tree(self, effect: EndTree | KillTree, run: Run) -> None:
        assert self.spec.stoptree
        assert self.process.state.value == "STOPPING", "descendants are ended by a stop alone"
        if isinstance(effect, KillTree):
            assert run.stop_signal_at is not None, "killed without a stop signal before it"
            assert self.clock - run.stop_signal_at >= self.spec.stopwaitsecs - 1e-9
        if isinstance(effect, EndTree) and effect.signal == self.spec.stopsignal:
            run.stop_signal_at = run.stop_signal_at or self.clock
        if isinstance(effect, EndTree) or self.process.is_ending_tree:
            assert run.ended, "the process itself comes first"
            run.is_tree_asked = True
            self._tell_tree(run, 0)

    def _take_note(self, event: Event) -> None:
        if isinstance(event, Spawned) and event.run in self.runs:
            self.runs[event.run].told_spawned = not self.runs[event.run].told_end
        if isinstance(event, (Exited, SpawnFailed)) and event.run in self.runs:
            self.runs[event.run].told_end = True
