"""In which of the six buckets a targeted host ends; called by `dispatch`, `relay` and `status`."""

from collections.abc import Iterable

from fleet_api.errors import Denied, FleetError, Unavailable

from fleet_controller.model import Bucket

DEADLINE_CODES = frozenset({"DEADLINE_EXCEEDED", "TIMED_OUT"})
"""Codes of an answer that did not come in time, as opposed to a host that cannot be reached."""


def of_error(error: FleetError, *, is_change: bool, was_sent: bool) -> Bucket:
    """The bucket of a host whose answer is an error.

    A change that may have arrived and was not answered is unknown; one that never left is unreachable.
    """
    match error:
        case Denied():
            return Bucket.REFUSED
        case Unavailable() if not was_sent:
            return Bucket.UNREACHABLE
        case Unavailable() if is_change:
            return Bucket.UNKNOWN
        case Unavailable():
            return Bucket.TIMED_OUT if error.code in DEADLINE_CODES else Bucket.UNREACHABLE
        case _:
            return Bucket.FAILED


def of_results(results: Iterable[str], unmatched_terms: int) -> Bucket:
    """The bucket of a host that answered a change with one result a process.

    `results` are ok, unchanged, failed or refused; a term that matches nothing there has failed.
    A refusal is named only where nothing failed.
    """
    seen = set(results)
    if unmatched_terms or seen - {"ok", "unchanged", "refused"}:
        return Bucket.FAILED
    return Bucket.REFUSED if "refused" in seen else Bucket.OK
