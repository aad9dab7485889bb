"""What hosts answered: one shape for every path, local door or controller, read or change.

`local` and `remote` make answers, views and `exit_codes` read them.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from fleet_api.errors import FleetError
from fleet_api.rows import ContextRow, ErrorRow, OutcomeRow, PositionRow, ProcessRow, TroubleRow


class Bucket(StrEnum):
    """Where a target ends: exactly one."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"
    UNREACHABLE = "unreachable"

    @property
    def words(self) -> str:
        """As people read it."""
        return self.value.replace("_", " ")


class Reachability(NamedTuple):
    """Whether the controller hears a host: connected, late, connecting or unreachable.

    `last_seen_time` is in seconds since the epoch, `age_seconds` the age of the newest proof of truth;
    None when the host was never seen.
    """

    state: str
    last_seen_time: float | None = None
    age_seconds: float | None = None


class HostAnswer(NamedTuple):
    """What one host answered. `errors` are terms that match nothing there.

    `reachability` is None for the agent of this host, which was asked directly. `is_behind`: the copy
    may be older than the caller's own last change. `troubles` are what its agent cannot do at present.
    """

    host: str
    bucket: Bucket
    error: ErrorRow | None = None
    rows: Sequence[ProcessRow] = ()
    outcomes: Sequence[OutcomeRow] = ()
    errors: Sequence[ErrorRow] = ()
    reachability: Reachability | None = None
    position: PositionRow | None = None
    operation_id: str = ""
    is_behind: bool = False
    duration_seconds: float | None = None
    troubles: Sequence[TroubleRow] = ()


class Change(NamedTuple):
    """One change as an operator asks for it. `timeout_seconds` None leaves the choice to the server."""

    verb: str
    terms: tuple[str, ...]
    operation_id: str
    key: str
    actor: str
    signal: str = ""
    reason: str = ""
    wait: bool = True
    fanout: int = 0
    timeout_seconds: float | None = None
    now: bool = False

    def context(self, fleet: str = "") -> ContextRow:
        """Who asks and why; the epoch is the controller's to fill in."""
        return ContextRow(
            operation_id=self.operation_id,
            key=self.key,
            actor=self.actor,
            reason=self.reason,
            fleet_id=fleet,
            epoch=0,
        )


class Gaps(NamedTuple):
    """How often the controller has missed changes of a host, and why it did last; times since the epoch."""

    number: int = 0
    last_reason: str = ""
    last_time: float | None = None


class HostRecord(NamedTuple):
    """One host of the inventory."""

    name: str
    address: str
    groups: Sequence[str]
    labels: dict[str, str]
    agent_version: str
    reachability: Reachability
    error: ErrorRow | None
    gaps: Gaps = Gaps()


_ANSWERED = frozenset({Bucket.OK, Bucket.FAILED})


def error_row(error: FleetError) -> ErrorRow:
    """An error as answers carry it."""
    return ErrorRow(code=error.code, message=error.message, hint=error.hint)


def settle_read(answers: Sequence[HostAnswer]) -> list[HostAnswer]:
    """Judge a read of many hosts: a term that means something on one is no mistake where it does not.

    A term that means nothing on any host fails every host that was asked for it.
    """
    asked = [answer for answer in answers if answer.error is None and answer.bucket in _ANSWERED]
    missing = [{error["message"] for error in answer.errors} for answer in asked]
    everywhere = set.intersection(*missing) if missing else set()
    settled = []
    for answer in answers:
        left = [error for error in answer.errors if error["message"] in everywhere]
        bucket = answer.bucket
        if answer.error is None and bucket in _ANSWERED:
            bucket = Bucket.FAILED if left else Bucket.OK
        settled.append(answer._replace(errors=left, bucket=bucket))
    return settled


def settle_change(answer: HostAnswer) -> HostAnswer:
    """Judge a change: a host where one process failed, or a term matches nothing, has not done it."""
    if answer.bucket is not Bucket.OK:
        return answer
    results = {outcome["result"] for outcome in answer.outcomes}
    if "failed" in results or answer.errors:
        return answer._replace(bucket=Bucket.FAILED)
    return answer._replace(bucket=Bucket.REFUSED) if "refused" in results else answer


def count(answers: Iterable[HostAnswer]) -> dict[Bucket, int]:
    """Targets per bucket, every bucket named."""
    counts = dict.fromkeys(Bucket, 0)
    for answer in answers:
        counts[answer.bucket] += 1
    return counts
