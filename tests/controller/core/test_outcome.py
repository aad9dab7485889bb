"""Every error and every answer has its bucket."""

import pytest
from fleet_api.errors import BadRequest, Broken, Conflict, Denied, FleetError, NotFound, Unavailable
from fleet_controller.core import outcome
from fleet_controller.model import Bucket
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

LOST = Unavailable("AGENT_UNAVAILABLE", "socket closed")
LATE = Unavailable("DEADLINE_EXCEEDED", "too late")


@pytest.mark.parametrize(
    ("error", "is_change", "was_sent", "bucket"),
    [
        (LOST, True, False, Bucket.UNREACHABLE),
        (LOST, True, True, Bucket.UNKNOWN),
        (LATE, True, True, Bucket.UNKNOWN),
        (LATE, False, True, Bucket.TIMED_OUT),
        (LOST, False, True, Bucket.UNREACHABLE),
        (LOST, False, False, Bucket.UNREACHABLE),
        (LATE, False, False, Bucket.UNREACHABLE),
        (Denied("ROLE_NOT_ALLOWED", "no"), True, True, Bucket.REFUSED),
        (Denied("ROLE_NOT_ALLOWED", "no"), False, False, Bucket.REFUSED),
        (NotFound("NO_SUCH_PROCESS", "no"), True, True, Bucket.FAILED),
        (BadRequest("BAD_SIGNAL", "no"), True, True, Bucket.FAILED),
        (Conflict("EPOCH_TOO_OLD", "no"), True, True, Bucket.FAILED),
        (Broken("BUG", "no"), False, True, Bucket.FAILED),
    ],
)
def test_every_error_has_its_bucket(
    error: FleetError, is_change: bool, was_sent: bool, bucket: Bucket
) -> None:
    assert outcome.of_error(error, is_change=is_change, was_sent=was_sent) is bucket


@given(st.sampled_from([Unavailable, Denied, NotFound]), st.booleans(), st.booleans())
def test_only_a_sent_change_is_unknown(cls: type[FleetError], is_change: bool, was_sent: bool) -> None:
    bucket = outcome.of_error(cls("X", "x"), is_change=is_change, was_sent=was_sent)
    assert (bucket is Bucket.UNKNOWN) == (cls is Unavailable and is_change and was_sent)


@pytest.mark.parametrize(
    ("results", "unmatched", "bucket"),
    [
        ([], 0, Bucket.OK),
        (["ok", "unchanged"], 0, Bucket.OK),
        (["ok", "failed"], 0, Bucket.FAILED),
        (["ok", "refused"], 0, Bucket.REFUSED),
        (["failed", "refused"], 0, Bucket.FAILED),
        (["ok"], 1, Bucket.FAILED),
        (["something new"], 0, Bucket.FAILED),
    ],
)
def test_the_bucket_of_an_answer(results: list[str], unmatched: int, bucket: Bucket) -> None:
    assert outcome.of_results(results, unmatched) is bucket
