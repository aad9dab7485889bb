"""The lives of supervisor and gateway, as far as the keeper decides them: start, end, pause, replacement."""

import math
import os
import signal
import time
from collections.abc import Mapping, Sequence

from fleet_agent.keeper import spawn

YOUNG_SECONDS = 10.0
LEAVING_SECONDS = 2.0
ANSWER_SECONDS = 7.0
"""How long a supervisor may take to detach, or to answer once everything is to stop."""
FAILURES_BEFORE_STOPPING_ALONE = 3
STOPPING_PAUSE_SECONDS = 0.2
"""The longest pause once the agent was asked to stop."""
BAD_CONFIGURATION = 2
_GATEWAY_VARIABLES = frozenset(
    {b"PATH", b"LANG", b"TZ", b"LD_LIBRARY_PATH", b"GRPC_VERBOSITY", b"GRPC_TRACE"}
)
_GATEWAY_PREFIXES = (b"LC_", b"PYTHON")
_SUPERVISOR_MEMORY = {b"MALLOC_TRIM_THRESHOLD_": b"131072", b"MALLOC_ARENA_MAX": b"1"}
"""How glibc keeps memory for a supervisor: what a start or a status of thousands took is given back."""
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


def pause_before_restart(young_deaths: int) -> float:
    """Seconds before a supervisor is started again, after so many deaths in a row that came soon."""
    if young_deaths <= 1:
        return 0.0
    return min(_FIRST_PAUSE_SECONDS * 2.0 ** min(young_deaths - 2, 16), _LONGEST_PAUSE_SECONDS)


def describe_status(status: int) -> str:
    """A raw wait status in words."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}"


class SupervisorLife:
    """One start after the other of the supervisor.

    `number` counts starts, `young_deaths` those deaths in a row that came within `YOUNG_SECONDS`; `lived`
    tells how many seconds the last one did.
    """

    def __init__(self) -> None:
        self.pid = 0
        self.number = 0
        self.young_deaths = 0
        self.is_ready = False
        self.was_ever_ready = False
        self._started = 0.0
        self.lived = 0.0

    def started(self, pid: int, now: float) -> None:
        """Note a start."""
        self.pid = pid
        self.is_ready = False
        self._started = now

    def ready(self) -> None:
        """Note that it serves."""
        self.is_ready = True
        self.was_ever_ready = True

    def ended(self, now: float) -> float:
        """Note its end; the seconds to wait before the next start."""
        self.pid = 0
        self.is_ready = False
        self.lived = now - self._started
        self.young_deaths = self.young_deaths + 1 if self.lived < YOUNG_SECONDS else 0
        return pause_before_restart(self.young_deaths)


def supervisor_environment(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Ours, from which nothing is hidden: the configuration may name any of it. Children get none of this."""
    return {**_SUPERVISOR_MEMORY, **spawn.named(environ)}


def gateway_environment(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """What the gateway needs of ours: it speaks with strangers, and our environment may hold secrets."""
    return {
        name: value
        for name, value in environ.items()
        if name in _GATEWAY_VARIABLES or name.startswith(_GATEWAY_PREFIXES)
    }


class Gateways:
    """The gateway, and older ones on their way out: `leaving` maps a pid to the time of its SIGKILL."""

    def __init__(self, spare: spawn.Spare, environ: Mapping[bytes, bytes]) -> None:
        self._spare = spare
        self._environ = gateway_environment(environ)
        self.pid = 0
        self.leaving: dict[int, float] = {}

    def start(self, argv: Sequence[str], fds: Sequence[int]) -> int:
        """Start a gateway in place of one that is still there; its pid.

        Raises: OSError.
        """
        if self.pid:
            self.leaving[self.pid] = time.monotonic()
            self.pid = 0
            self.end_late(time.monotonic())
        self.pid = spawn.start_office(argv, fds, self._spare, self._environ)
        return self.pid

    def take_over(self, pid: int, leaving: Mapping[int, float]) -> None:
        """Go on with those of an earlier keeper in this process."""
        self.pid = pid
        self.leaving = dict(leaving)

    def ended(self, pid: int) -> bool:
        """Whether this pid was one of ours; it is forgotten."""
        if pid == self.pid:
            self.pid = 0
            return True
        return self.leaving.pop(pid, None) is not None

    def link_ended(self, now: float) -> None:
        """Its supervisor is gone, so it leaves; after a while it is made to."""
        if self.pid:
            self.leaving[self.pid] = now + LEAVING_SECONDS
            self.pid = 0

    def end_late(self, now: float) -> None:
        """Kill those whose time is over."""
        for pid, due in self.leaving.items():
            if due <= now:
                os.kill(pid, signal.SIGKILL)
                self.leaving[pid] = math.inf

    @property
    def kills_due(self) -> list[float]:
        """When `end_late` has something to do."""
        return [due for due in self.leaving.values() if due < math.inf]

    @property
    def is_gone(self) -> bool:
        """Whether none is left."""
        return not self.pid and not self.leaving
