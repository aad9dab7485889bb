"""The nouns of the agent: what an operator wants (specs) and what is observed (processes).

Values are NamedTuples: frozen, comparable, and without the megabyte that importing `dataclasses`
costs in each of the small processes.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from fleet_agent.core.desires import Desire


class State(StrEnum):
    """A named place in the life of a process."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"


STOPPED_STATES = frozenset({State.STOPPED, State.EXITED, State.FATAL, State.UNKNOWN})
RUNNING_STATES = frozenset({State.RUNNING, State.BACKOFF, State.STARTING})
SIGNALLABLE_STATES = frozenset({State.RUNNING, State.STARTING, State.STOPPING})
"""States in which a child may live."""


class Autorestart(StrEnum):
    """Whether a program that ended by itself is started again."""

    ALWAYS = "true"
    UNEXPECTED = "unexpected"
    NEVER = "false"


class LogSpec(NamedTuple):
    """Where one output stream of a process is written.

    `path` is absolute; empty means the output is read and thrown away. `is_auto`: the agent chose
    the file and may remove it when it starts next. Units: bytes; 0 bytes means never rotate.
    """

    path: str = ""
    is_auto: bool = False
    maxbytes: int = 50 * 1024 * 1024
    backups: int = 10


class ProcessSpec(NamedTuple):
    """All that is wanted of one process. Durations are in seconds."""

    name: str
    group: str
    command: str
    directory: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    user: str = ""
    umask: int | None = None
    priority: int = 999
    autostart: bool = True
    autorestart: Autorestart = Autorestart.UNEXPECTED
    startsecs: int = 1
    startretries: int = 3
    exitcodes: frozenset[int] = frozenset({0})
    stopsignal: int = 15
    stopwaitsecs: int = 10
    stopasgroup: bool = False
    killasgroup: bool = False
    redirect_stderr: bool = False
    stdout: LogSpec = LogSpec()
    stderr: LogSpec = LogSpec()
    stoptree: bool = True

    @property
    def id(self) -> str:
        """`group:name`, unique on the host."""
        return f"{self.group}:{self.name}"


class GroupSpec(NamedTuple):
    """Processes that are ordered, started and stopped together; in their order of start."""

    name: str
    priority: int
    processes: tuple[ProcessSpec, ...]


class Exit(NamedTuple):
    """How one run ended. `code` for an exit, `signal` for a death by signal, neither when unknown.

    `cause`: who sent the signal, in words, where the kernel tells.
    """

    code: int | None = None
    signal: int | None = None
    core_dumped: bool = False
    cause: str = ""

    @property
    def is_known(self) -> bool:
        """Whether the kernel told how the run ended."""
        return self.code is not None or self.signal is not None

    def to_state(self) -> dict[str, Any]:
        """As stored and sent."""
        return {"code": self.code, "signal": self.signal, "core": self.core_dumped, "cause": self.cause}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Exit":
        """The inverse of `to_state`."""
        return cls(state["code"], state["signal"], state["core"], state.get("cause", ""))


class Now(NamedTuple):
    """One reading of both clocks.

    `monotonic` is the kernel's clock since boot, equal in all processes of the host; `wall` is
    seconds since the epoch. Deadlines use the first, what people read the second.
    """

    monotonic: float
    wall: float


class TimerKind(StrEnum):
    """What a process waits for."""

    STARTED = "started"  # it has stayed up for startsecs
    RETRY = "retry"  # the pause after a failed start is over
    RESTART = "restart"  # a run that died at birth may be followed by the next
    KILL = "kill"  # stopwaitsecs are over


class Timer(NamedTuple):
    """The one deadline of a process, on the monotonic clock."""

    kind: TimerKind
    due: float


_NUMBER = (int, float)
_KINDS: dict[str, tuple[type, ...]] = {
    "wanted": (bool,),
    "run": (int,),
    "pid": (int,),
    "stopped": _NUMBER,
    "changed": _NUMBER,
    "failures": (int,),
    "spawn_error": (str,),
    "reason": (str,),
    "signals": (int,),
    "expected": (bool,),
}
"""What the fields of a stored process must be, where reading them would not tell."""


class Process(NamedTuple):
    """All that is known of one process; what a new supervisor needs to go on where the old one ended.

    `run` numbers its lives from 1 and only grows; facts about another run than this one are stale.
    `signals` counts the signals asked for in this run, so that a repeated request is recognised;
    `is_killed` once SIGKILL was asked for because the stop signal did not end it in time. `desire` is what
    operators want of it for good, as kept elsewhere: here so that it is told with the rest. `shortages`
    counts the starts in a row that the host had not the means for; a new supervisor counts anew.
    """

    state: State = State.STOPPED
    wanted: bool = False
    run: int = 0
    pid: int = 0
    started: Now | None = None
    stopped_wall: float = 0.0
    changed_wall: float = 0.0
    exit: Exit | None = None
    failures: int = 0
    spawn_error: str = ""
    reason: str = ""
    signals: int = 0
    timer: Timer | None = None
    expected_exit: bool = True
    is_killed: bool = False
    desire: Desire | None = None
    shortages: int = 0

    @property
    def is_ending_tree(self) -> bool:
        """Whether its stop goes on for the sake of its descendants: the process itself has ended."""
        return self.state is State.STOPPING and self.exit is not None

    def to_state(self) -> dict[str, Any]:
        """As journalled; version 1."""
        return {
            "state": self.state.value,
            "wanted": self.wanted,
            "run": self.run,
            "pid": self.pid,
            "started": list(self.started) if self.started else None,
            "stopped": self.stopped_wall,
            "changed": self.changed_wall,
            "exit": self.exit.to_state() if self.exit else None,
            "failures": self.failures,
            "spawn_error": self.spawn_error,
            "reason": self.reason,
            "signals": self.signals,
            "timer": [self.timer.kind.value, self.timer.due] if self.timer else None,
            "expected": self.expected_exit,
            "killed": self.is_killed,
            "desire": self.desire.to_state() if self.desire else None,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Process":
        """The inverse of `to_state`.

        Raises: KeyError, TypeError, ValueError or IndexError for what is no process.
        """
        for name, kinds in _KINDS.items():
            if type(state[name]) not in kinds:
                raise TypeError(f"{name} is {str(state[name])[:80]}")
        return cls(
            state=State(state["state"]),
            wanted=state["wanted"],
            run=state["run"],
            pid=state["pid"],
            started=Now(*map(float, state["started"])) if state["started"] else None,
            stopped_wall=state["stopped"],
            changed_wall=state["changed"],
            exit=Exit.from_state(state["exit"]) if state["exit"] else None,
            failures=state["failures"],
            spawn_error=state["spawn_error"],
            reason=state["reason"],
            signals=state["signals"],
            timer=Timer(TimerKind(state["timer"][0]), float(state["timer"][1])) if state["timer"] else None,
            expected_exit=state["expected"],
            is_killed=state.get("killed", False),
            desire=Desire.from_state(state["desire"]) if state.get("desire") else None,
        )
