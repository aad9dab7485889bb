"""What happens to a process, what its machine asks for in return, and the step between the two.

Events are facts, told in the past tense by the supervisor to `core.machine`; effects are what the
supervisor then carries out.
"""

from typing import NamedTuple

from fleet_agent.core.model import Exit, Now, Process, State, TimerKind

# ------------------------------------------------------------------------------------------- events


class StartAsked(NamedTuple):
    """Somebody wants it to run; `reason` says who and why: `asked by root: deploy`, `autostart`."""

    reason: str


class StopAsked(NamedTuple):
    """Somebody wants it to stop. `has_left`: runs that have ended have left descendants."""

    reason: str
    has_left: bool = False


class SignalAsked(NamedTuple):
    """Somebody wants a signal sent to the process itself."""

    signal: int


class Spawned(NamedTuple):
    """A run lives since `at`."""

    run: int
    pid: int
    at: Now


class SpawnFailed(NamedTuple):
    """A run could not be started; `error` as `status` shows it.

    `is_shortage`: the host lacks something (descriptors, memory, room), and the program is not to blame.
    """

    run: int
    error: str
    is_shortage: bool = False


class Exited(NamedTuple):
    """A run ended; `now` of the transition is the time of death.

    `has_left`: within a stop, it has left descendants, or that is not known yet.
    """

    run: int
    exit: Exit
    has_left: bool = False


class TreeEnded(NamedTuple):
    """No descendant of the process is left but `remaining`, in words why they are.

    `ended` of them went when they were asked to, `killed` got SIGKILL.
    """

    run: int
    ended: int = 0
    killed: int = 0
    remaining: str = ""


class SignalFailed(NamedTuple):
    """The kernel refused a signal for another reason than that the process is gone."""

    run: int
    error: str


class TimerFired(NamedTuple):
    """A timer of this kind is due."""

    kind: TimerKind


Event = (
    StartAsked
    | StopAsked
    | SignalAsked
    | Spawned
    | SpawnFailed
    | Exited
    | TreeEnded
    | SignalFailed
    | TimerFired
)
EVENTS: tuple[type[Event], ...] = (
    StartAsked,
    StopAsked,
    SignalAsked,
    Spawned,
    SpawnFailed,
    Exited,
    TreeEnded,
    SignalFailed,
    TimerFired,
)

# ------------------------------------------------------------------------------------------ effects


class Spawn(NamedTuple):
    """Start this run."""

    run: int


class SendSignal(NamedTuple):
    """Send a signal to this run; the keeper drops an `ordinal` that it has carried out already."""

    run: int
    signal: int
    ordinal: int
    to_group: bool = False


class EndTree(NamedTuple):
    """The process has ended: send its descendants `signal` (0: none); TreeEnded when they are gone."""

    run: int
    signal: int


class KillTree(NamedTuple):
    """Send SIGKILL to every descendant, also to those that are only now forked."""

    run: int


Effect = Spawn | SendSignal | EndTree | KillTree


class Move(NamedTuple):
    """One change of state: `process` as it is right after it, before what else the same event brings.

    `pid` is that of the run it tells of, also when the run has just ended.
    """

    old: State
    process: Process
    pid: int = 0

    @property
    def new(self) -> State:
        """The state it leads to."""
        return self.process.state

    @property
    def reason(self) -> str:
        """Why, in words."""
        return self.process.reason

    @property
    def tries(self) -> int:
        """Failed starts in a row, this one included."""
        return self.process.failures

    @property
    def expected(self) -> bool:
        """Whether the run that ended did so as it may."""
        return self.process.expected_exit


class Step(NamedTuple):
    """What follows from an event: the process as it is now, what to do, which states it went through."""

    process: Process
    effects: tuple[Effect, ...] = ()
    moves: tuple[Move, ...] = ()
