"""One process as every program shows it: the row that the local door, the gateway and fleetctl share.

Times are seconds since the epoch, None when there is none; durations are seconds.
"""

from typing import NotRequired, TypedDict


class ExitRow(TypedDict):
    """How a run ended; `code` and `signal` are both None when nobody could know."""

    code: int | None
    signal: int | None
    core: bool


class DesireRow(TypedDict):
    """What an operator wants of a process for good; `kind` is stopped or disabled."""

    kind: str
    actor: str
    reason: str
    time: float
    operation_id: str


class TreeRow(TypedDict):
    """One process of the kernel in the tree of a supervised one; `state` is the kernel's letter.

    `depth` 0 is the supervised process itself; its `command` is cut and harmless to a terminal.
    """

    pid: int
    parent: int
    depth: int
    command: str
    state: str
    cpu_seconds: float
    memory_bytes: int


class ProcessRow(TypedDict):
    """What an agent observes of one process.

    `tree` is there when it was asked for and something lives; `tree_size` counts also those of it that were
    too many to be told.
    """

    name: str
    group: str
    state: str
    pid: int
    run: int
    description: str
    reason: str
    start_time: float | None
    state_time: float | None
    stop_time: float | None
    exit: ExitRow | None
    failures: int
    spawn_error: str
    uptime: float | None
    stdout_logfile: str
    stderr_logfile: str
    desire: DesireRow | None
    tree: NotRequired[list[TreeRow]]
    tree_size: NotRequired[int]


class ErrorRow(TypedDict):
    """An error as JSON carries it: see `errors.FleetError.to_wire`."""

    code: str
    message: str
    hint: str


class PositionRow(TypedDict):
    """A point in an agent's numbered history."""

    agent_id: str
    incarnation: str
    sequence: int


class OutcomeRow(TypedDict):
    """What became of an operation on one process; `result` is ok, unchanged, failed or refused.

    The `reason` of a restart that is ok is `restarted`, or `started` where nothing had to be stopped.
    """

    name: str
    group: str
    result: str
    reason: str
    error: ErrorRow | None
    process: ProcessRow | None


class OperationRow(TypedDict):
    """The answer to an operation: one outcome a process, and the terms that match nothing as errors."""

    operation_id: str
    outcomes: list[OutcomeRow]
    errors: list[ErrorRow]
    position: PositionRow
    replayed: bool


class ContextRow(TypedDict):
    """Who asks for an operation and why: what a change carries to every agent."""

    operation_id: str
    key: str
    actor: str
    reason: str
    fleet_id: str
    epoch: int


class EventRow(TypedDict):
    """One numbered change; `process` is the row after it, `removed` tells that it left the configuration."""

    sequence: int
    time: float
    old_state: str
    reason: str
    process: ProcessRow
    removed: bool


class TroubleRow(TypedDict):
    """Something that an agent cannot do at present: since when (epoch seconds), and how often it failed.

    `message` says what, why and what follows; `lost_bytes` of output went nowhere.
    """

    kind: str
    subject: str
    message: str
    since: float
    count: int
    lost_bytes: int


class UpgradeRow(TypedDict):
    """One upgrade of an agent; `result` is switching, done or failed. Times: since the epoch, or 0."""

    id: str
    from_version: str
    to_version: str
    actor: str
    replaces_keeper: bool
    began: float
    result: str
    reason: str
    ended: float


def display_name(group: str, name: str) -> str:
    """`name` where group and process share it, else `group:name`, as supervisorctl prints it."""
    return name if group == name else f"{group}:{name}"


def running_description(pid: int, uptime_seconds: float) -> str:
    """`pid 7, uptime 1 day, 0:03:12`; a clock that went backwards reads 0:00:00."""
    seconds = max(0, int(uptime_seconds))
    days, seconds = divmod(seconds, 86400)
    clock = f"{seconds // 3600}:{seconds % 3600 // 60:02}:{seconds % 60:02}"
    if days:
        clock = f"{days} day{'s' if days > 1 else ''}, {clock}"
    return f"pid {pid}, uptime {clock}"


def aged_description(description: str, pid: int, uptime_seconds: float) -> str:
    """The description of a running process at another uptime; what follows a semicolon stays."""
    _, semicolon, more = description.partition(";")
    return running_description(pid, uptime_seconds) + semicolon + more
