"""What is known of one host: facts from its agent go in, a view comes out.

    CONNECTING --first answer--> UP --lost--> DOWN --first answer--> UP
         `-----------lost--------------------^

A view becomes true with the last part of a snapshot, or with the first message of a resumed stream, and
then follows the numbered changes one by one. A number that is missing is never passed over: the step
says why the host must be read anew. Rows are opaque here, so that nobody pays for translating them.
Called by `state`, the one owner of all views.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Generic, TypeVar

from fleet_api.errors import FleetError, Unavailable
from fleet_api.unreachable import SILENT_HINT

from fleet_controller.core import lease
from fleet_controller.model import Moment, Position, Reach

NOT_ANSWERING = "NOT_ANSWERING"

Row = TypeVar("Row")
ProcessId = tuple[str, str]
"""Group and name."""


class Link(Enum):
    """Whether the stream to the agent is open and its state is whole."""

    CONNECTING = "connecting"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Held(Generic[Row]):
    """A row and the monotonic time in seconds when it was true."""

    row: Row
    at: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Changes of a host that nobody here has seen: its processes were read anew."""

    reason: str
    at: Moment


@dataclass(frozen=True, slots=True)
class View(Generic[Row]):
    """What is known of one host.

    `proof` is the newest moment at which its supervisor and its keeper are known to have lived (`is_held_up`:
    it is the keeper that has not answered since), `heard` the newest message of any kind, `lost_at` the last
    time it went down. `ahead` is our sequence when a heartbeat first told of changes that we had not got.
    `gaps` counts how often changes were missed, `last_gap` says why.
    """

    link: Link = Link.CONNECTING
    position: Position | None = None
    processes: Mapping[ProcessId, Held[Row]] = field(default_factory=dict)
    arriving: Mapping[ProcessId, Held[Row]] | None = None
    proof: Moment | None = None
    heard: Moment | None = None
    error: FleetError | None = None
    agent_version: str = ""
    ahead: int | None = None
    lost_at: Moment | None = None
    is_held_up: bool = False
    troubles: tuple[Any, ...] = ()
    gaps: int = 0
    last_gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """The agent was asked who it is and answered."""

    agent_version: str


@dataclass(frozen=True, slots=True)
class SnapshotPart(Generic[Row]):
    """Some of the processes as they were at `position`."""

    position: Position
    rows: Mapping[ProcessId, Row]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Changed(Generic[Row]):
    """One numbered change; `row` None: the process left the configuration."""

    sequence: int
    id: ProcessId
    row: Row | None


@dataclass(frozen=True, slots=True)
class Beat:
    """A heartbeat; the ages are those of the supervisor's last answer, and of the keeper's to it.

    `troubles` are opaque, like rows.
    """

    position: Position | None
    supervisor_age_seconds: float = 0.0
    keeper_age_seconds: float = 0.0
    troubles: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Missed:
    """The agent cannot resume where we left off, for this reason; a snapshot follows."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream ended, or could not be opened, for this reason; with `drops` nothing is kept of it."""

    error: FleetError
    drops: bool = False


Fact = Opened | SnapshotPart[Row] | Changed[Row] | Beat | Missed | Lost


@dataclass(frozen=True, slots=True)
class Step(Generic[Row]):
    """The view after a fact; `resync`, when not empty, says why the host must be read anew."""

    view: View[Row]
    resync: str = ""


def fold(view: View[Row], fact: Fact[Row], now: Moment) -> Step[Row]:
    """Take one fact into the view of its host."""
    match fact:
        case Lost():
            lost = _lost(view, fact.error, now)
            return Step(replace(lost, processes={}, position=None) if fact.drops else lost)
        case Opened():
            return Step(replace(view, agent_version=fact.agent_version))
        case Missed():
            return Step(replace(_missed(view, fact.reason, now), heard=now, arriving={}))
        case SnapshotPart():
            return _snapshot(view, fact, now)
        case Changed():
            return _change(view, fact, now)
        case Beat():
            return _beat(view, fact, now)


def _lost(view: View[Row], error: FleetError, now: Moment) -> View[Row]:
    lost_at = now if view.link is Link.UP else view.lost_at
    return replace(view, link=Link.DOWN, error=error, arriving=None, ahead=None, lost_at=lost_at)


def _missed(view: View[Row], reason: str, now: Moment) -> View[Row]:
    return replace(view, gaps=view.gaps + 1, last_gap=Gap(reason, now))


def _read_anew(view: View[Row], why: str, now: Moment) -> Step[Row]:
    return Step(_missed(view, why, now), why)


def forget(view: View[Row]) -> View[Row]:
    """The view without its position, so that the next stream begins with a snapshot."""
    return replace(view, position=None, arriving=None, ahead=None)


def has_reached(view: View[Row], wanted: Position) -> bool:
    """Whether the view contains the change at `wanted`; never for another incarnation."""
    have = view.position
    return (
        view.link is Link.UP
        and have is not None
        and (have.agent_id, have.incarnation) == (wanted.agent_id, wanted.incarnation)
        and have.sequence >= wanted.sequence
    )


@dataclass(frozen=True, slots=True)
class Reachability:
    """Whether a host answers; `age_seconds` is that of the newest proof, None when never seen."""

    reach: Reach
    error: FleetError | None
    last_seen: Moment | None
    age_seconds: float | None


def reachability(host: str, view: View[Row], now: float, heartbeat_seconds: float) -> Reachability:
    """Judge a host at this monotonic time."""
    age = None if view.proof is None else max(0.0, now - view.proof.monotonic)
    if view.link is Link.CONNECTING:
        return Reachability(Reach.CONNECTING, None, view.proof, age)
    if view.link is Link.DOWN:
        return Reachability(Reach.UNREACHABLE, view.error, view.proof, age)
    gateway, supervisor = _judge(view, now, heartbeat_seconds)
    if gateway is Reach.UNREACHABLE:
        error = Unavailable(
            NOT_ANSWERING,
            f"{host} is connected, but silent",
            SILENT_HINT,
        )
        return Reachability(Reach.UNREACHABLE, error, view.proof, age)
    if supervisor is Reach.UNREACHABLE and view.is_held_up:
        error = Unavailable(
            "KEEPER_NOT_ANSWERING",
            f"{host}: its supervisor answers, its keeper does not: nothing can be started or stopped",
            "look at the first process of the agent on that host: it may be stopped (SIGSTOP) or starved",
        )
        return Reachability(Reach.UNREACHABLE, error, view.proof, age)
    if supervisor is Reach.UNREACHABLE:
        error = Unavailable(
            "SUPERVISOR_NOT_ANSWERING",
            f"{host}: its gateway answers, its supervisor does not",
            "look at the agent of that host: `fleetctl status` there asks the supervisor itself",
        )
        return Reachability(Reach.UNREACHABLE, error, view.proof, age)
    is_late = Reach.LATE in (gateway, supervisor)
    return Reachability(Reach.LATE if is_late else Reach.CONNECTED, None, view.proof, age)


def _judge(view: View[Row], now: float, heartbeat_seconds: float) -> tuple[Reach, Reach]:
    """Whether gateway and supervisor are heard.

    A beat tells an answer of the supervisor that is some time old already; one heartbeat is in order.
    """
    heard = None if view.heard is None else view.heard.monotonic
    proof = None if view.proof is None else view.proof.monotonic + heartbeat_seconds
    return lease.judge(heard, now, heartbeat_seconds), lease.judge(proof, now, heartbeat_seconds)


def _snapshot(view: View[Row], part: SnapshotPart[Row], now: Moment) -> Step[Row]:
    arrived = dict(view.arriving or {})
    arrived.update({id_: Held(row, now.monotonic) for id_, row in part.rows.items()})
    if not part.is_last:
        return Step(replace(view, arriving=arrived, heard=now))
    return Step(
        replace(
            view,
            link=Link.UP,
            position=part.position,
            processes=arrived,
            arriving=None,
            proof=now,
            heard=now,
            error=None,
            ahead=None,
        )
    )


def _change(view: View[Row], fact: Changed[Row], now: Moment) -> Step[Row]:
    heard = replace(view, heard=now)
    if view.position is None or view.arriving is not None:
        return _read_anew(heard, f"change {fact.sequence} came before the end of a snapshot", now)
    have = view.position.sequence
    if fact.sequence <= have:
        return Step(replace(heard, link=Link.UP, error=None, proof=now))
    if fact.sequence > have + 1:
        return _read_anew(heard, f"changes {have + 1} to {fact.sequence - 1} are missing", now)
    processes = dict(view.processes)
    if fact.row is None:
        processes.pop(fact.id, None)
    else:
        processes[fact.id] = Held(fact.row, now.monotonic)
    return Step(
        replace(
            heard,
            link=Link.UP,
            error=None,
            proof=now,
            position=replace(view.position, sequence=fact.sequence),
            processes=processes,
            ahead=None,
        )
    )


def _beat(view: View[Row], fact: Beat, now: Moment) -> Step[Row]:
    heard = replace(view, heard=now)
    if view.position is None or view.arriving is not None:
        return Step(heard)  # still waiting for the end of a snapshot
    age = max(0.0, fact.supervisor_age_seconds, fact.keeper_age_seconds)
    proof = Moment(now.monotonic - age, now.wall - age)
    if view.proof is not None and view.proof.monotonic > proof.monotonic:
        proof = view.proof
    beaten = replace(
        heard,
        link=Link.UP,
        error=None,
        proof=proof,
        ahead=None,
        is_held_up=fact.keeper_age_seconds > fact.supervisor_age_seconds,
        troubles=fact.troubles,
    )
    if fact.position is None:
        return Step(beaten)
    have = view.position
    if (fact.position.agent_id, fact.position.incarnation) != (have.agent_id, have.incarnation):
        return _read_anew(heard, "the agent began to number its changes anew", now)
    if fact.position.sequence <= have.sequence:
        return Step(beaten)
    # Changes may be on their way behind the beat; that they have not come by the next one is a loss.
    if view.ahead == have.sequence:
        return _read_anew(heard, f"changes {have.sequence + 1} to {fact.position.sequence} never came", now)
    return Step(replace(beaten, ahead=have.sequence))
