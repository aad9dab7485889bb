"""What keeper and supervisor say to each other, as typed values.

Each message is one frame: `{"m": <name>, ...fields}`. Descriptors that belong to a message travel
with it and are counted in its "fds". Additive only: a receiver ignores fields it does not know, and a
new field has a default, since keeper and supervisor may be of different versions.
"""

from typing import Any, NamedTuple

PROTOCOL_VERSION = 1

# ---------------------------------------------------------------- supervisor to keeper


class Spawn(NamedTuple):
    """Start one run. `streams` names the FIFOs to make: stdin, stdout and, unless redirected, stderr.

    `environment` holds what is added to the keeper's own; `umask` None and `uid` None leave the keeper's.
    """

    process: str
    run: int
    executable: str
    argv: list[str]
    environment: dict[str, str]
    directory: str = ""
    umask: int | None = None
    uid: int | None = None
    gid: int | None = None
    groups: list[int] | None = None
    streams: list[str] = ["stdin", "stdout", "stderr"]  # noqa: RUF012
    nofile: int = 1024


class SendSignal(NamedTuple):
    """Send a signal to a run. The keeper drops an `ordinal` it has carried out already."""

    process: str
    run: int
    signal: int
    ordinal: int
    to_group: bool = False


class Release(NamedTuple):
    """The exit of this run is journalled and its streams are read: forget it."""

    process: str
    run: int


class StartGateway(NamedTuple):
    """Start the gateway with two descriptors: its end of the link, and the reserved port (if any)."""

    argv: list[str]


class WriteAs(NamedTuple):
    """Go on with this format of the keeper's own in that version: an older keeper is to come."""

    format: str
    version: int


class Settled(NamedTuple):
    """This supervisor goes on in formats of its own version: the one before it must not come back."""


class Leave(NamedTuple):
    """All is stopped: end, with this exit code."""

    code: int = 0


class Detach(NamedTuple):
    """End, and leave the children running."""


class Prepared(NamedTuple):
    """The supervisor has been started and waits for its Hello; the first message of each."""


class Keep(NamedTuple):
    """Hold the one descriptor that comes with this for the supervisors to come, in place of one of this name.

    `note` is given back beside it.
    """

    name: str
    note: str = ""


class Replace(NamedTuple):
    """Put another version in the place of this supervisor and, with `keeper_argv`, of the keeper.

    The keeper answers with Yield once the other is prepared, or with ReplaceFailed, and then nothing has
    happened.
    """

    upgrade: str
    supervisor_argv: list[str]
    keeper_argv: list[str] = []  # noqa: RUF012


class Ready(NamedTuple):
    """The supervisor is up: its door answers."""


class Pong(NamedTuple):
    """The answer to Ping."""


class Call(NamedTuple):
    """Answer with Here: the supervisor wants to know whether the keeper does its work."""


# ---------------------------------------------------------------- keeper to supervisor


class Hello(NamedTuple):
    """First message of the keeper; then one Child for each run it holds, then Begin."""

    version: int
    keeper_pid: int
    boot_id: str
    # How often a supervisor was started by this keeper, from 1.
    supervisor_number: int
    # Requests that came by signal and have not been answered by an end: see Asked.what.
    asked: list[str]
    # The last upgrade that was begun; `reverted`: why the version before it is back.
    upgrade: str = ""
    reverted: str = ""
    # Whether Call is answered.
    heeds_calls: bool = False
    # Tells this keeper's code from another's.
    fingerprint: str = ""


class Kept(NamedTuple):
    """A descriptor that an earlier supervisor gave to keep comes with this; it follows Hello."""

    name: str
    note: str = ""


class Child(NamedTuple):
    """One run the keeper holds, with its open ends (stdin, stdout, stderr as in `streams`) as descriptors.

    `status` is the raw wait status, None while it lives, -1 when nobody can know it.
    `fifos` are the paths, in the order of `streams`.
    """

    process: str
    run: int
    pid: int
    started_monotonic: float
    started_wall: float
    signals: int
    streams: list[str]
    fifos: list[str]
    status: int | None = None
    ended_wall: float = 0.0
    adopted: bool = False


class Begin(NamedTuple):
    """All that the keeper holds has been told."""


class Spawned(NamedTuple):
    """A run lives; its open ends come as descriptors, in the order of `streams`."""

    process: str
    run: int
    pid: int
    monotonic: float
    wall: float
    streams: list[str]
    fifos: list[str]


class SpawnFailed(NamedTuple):
    """A run could not be started. `stage`: fifo, limit, fork, setuid, chdir or exec."""

    process: str
    run: int
    stage: str
    errno: int
    message: str


class Exited(NamedTuple):
    """A run ended. `status` as in Child; `pid` was its pid."""

    process: str
    run: int
    pid: int
    status: int
    monotonic: float
    wall: float


class SignalFailed(NamedTuple):
    """The kernel refused a signal for another reason than that the process is gone."""

    process: str
    run: int
    signal: int
    errno: int


class GatewayStarted(NamedTuple):
    """The gateway that was asked for lives; one that was there before has been killed."""

    pid: int


class GatewayEnded(NamedTuple):
    """The gateway ended (pid 0: it could not be started); the supervisor decides when it is started again."""

    pid: int
    status: int


class Yield(NamedTuple):
    """The successor is prepared: leave at once, and leave everything as it stands."""

    upgrade: str


class ReplaceFailed(NamedTuple):
    """The other version does not start; everything stays as it is."""

    upgrade: str
    reason: str


class Asked(NamedTuple):
    """The agent was asked by a signal: stop, reload, reopen or detach. `signal` is its name."""

    what: str
    signal: str


class Here(NamedTuple):
    """The answer to Call."""


class Ping(NamedTuple):
    """Answer with Pong: a service manager wants to know whether we are alive."""


ToKeeper = (
    Spawn
    | SendSignal
    | Release
    | StartGateway
    | WriteAs
    | Settled
    | Leave
    | Detach
    | Prepared
    | Keep
    | Replace
    | Ready
    | Pong
    | Call
)
ToSupervisor = (
    Hello
    | Child
    | Begin
    | Spawned
    | SpawnFailed
    | Exited
    | SignalFailed
    | GatewayStarted
    | GatewayEnded
    | Kept
    | Yield
    | ReplaceFailed
    | Asked
    | Ping
    | Here
)
Message = ToKeeper | ToSupervisor

_NAMES: dict[type[Any], str] = {
    Spawn: "spawn",
    SendSignal: "signal",
    Release: "release",
    StartGateway: "start_gateway",
    WriteAs: "write_as",
    Settled: "settled",
    Leave: "leave",
    Detach: "detach",
    Prepared: "prepared",
    Keep: "keep",
    Replace: "replace",
    Ready: "ready",
    Pong: "pong",
    Hello: "hello",
    Child: "child",
    Begin: "begin",
    Spawned: "spawned",
    SpawnFailed: "spawn_failed",
    Exited: "exited",
    SignalFailed: "signal_failed",
    GatewayStarted: "gateway_started",
    GatewayEnded: "gateway_ended",
    Kept: "kept",
    Yield: "yield",
    ReplaceFailed: "replace_failed",
    Asked: "asked",
    Ping: "ping",
    Call: "call",
    Here: "here",
}
_TYPES = {name: cls for cls, name in _NAMES.items()}


def to_frame(message: Message) -> dict[str, Any]:
    """The message as a frame object."""
    return {"m": _NAMES[type(message)], **message._asdict()}


def from_frame(frame: dict[str, Any]) -> Message | None:
    """The message of a frame; None for a name that this version does not know.

    Raises: TypeError when a field without default is missing.
    """
    cls = _TYPES.get(frame.get("m", ""))
    if cls is None:
        return None
    known = cls._fields
    message: Message = cls(**{key: value for key, value in frame.items() if key in known})
    return message
