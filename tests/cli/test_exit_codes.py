"""Exit codes, all of them."""

import itertools
import re
from pathlib import Path

import pytest
from fleet_api.errors import BadRequest, Broken, Conflict, Denied, FleetError, NotFound, Unavailable
from fleet_cli import exit_codes
from fleet_cli.answers import Bucket

pytestmark = pytest.mark.pure

OK, FAILED, REFUSED = Bucket.OK, Bucket.FAILED, Bucket.REFUSED
TIMED_OUT, UNKNOWN, UNREACHABLE = Bucket.TIMED_OUT, Bucket.UNKNOWN, Bucket.UNREACHABLE


@pytest.mark.parametrize(
    ("buckets", "code"),
    [
        ([], 7),
        ([OK], 0),
        ([OK, OK], 0),
        ([OK, FAILED], 2),
        ([OK, REFUSED], 2),
        ([FAILED, REFUSED], 2),
        ([OK, TIMED_OUT], 4),
        ([OK, UNKNOWN], 4),
        ([OK, UNREACHABLE], 4),
        ([TIMED_OUT, UNKNOWN, UNREACHABLE], 4),
        ([FAILED, UNREACHABLE], 6),
        ([OK, REFUSED, TIMED_OUT], 6),
        (list(Bucket), 6),
    ],
)
def test_buckets(buckets: list[Bucket], code: int) -> None:
    for order in itertools.islice(itertools.permutations(buckets), 24):
        assert exit_codes.of_buckets(order) == code


@pytest.mark.parametrize(
    ("buckets", "states", "code"),
    [
        ([OK], ["RUNNING"], 0),
        ([OK], [], 0),
        ([OK], ["RUNNING", "STARTING", "BACKOFF", "STOPPING"], 0),
        ([OK], ["RUNNING", "STOPPED"], 3),
        ([OK], ["EXITED"], 3),
        ([OK], ["FATAL"], 3),
        ([OK], ["UNKNOWN"], 3),
        ([OK, UNREACHABLE], ["FATAL"], 4),
        ([FAILED], ["FATAL"], 2),
        ([], ["FATAL"], 7),
    ],
)
def test_status(buckets: list[Bucket], states: list[str], code: int) -> None:
    assert exit_codes.of_status(buckets, states) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("EMPTY_TARGET", ""), 7),
        (BadRequest("EMPTY_HOST_SET", ""), 7),
        (BadRequest("NO_HOST_MATCHES", ""), 7),
        (BadRequest("UNKNOWN_HOST", ""), 1),
        (NotFound("CONFIG_NOT_FOUND", ""), 1),
        (Denied("PERMISSION_DENIED", ""), 9),
        (Denied("KEY_READABLE_BY_OTHERS", ""), 9),
        (Unavailable("CERTIFICATE_REFUSED", ""), 9),
        (Unavailable("OWN_CERTIFICATE_EXPIRED", ""), 9),
        (Unavailable("OWN_CERTIFICATE_NOT_YET_VALID", ""), 9),
        (Unavailable("OWN_CREDENTIALS_UNUSABLE", ""), 9),
        (Unavailable("CERTIFICATE_EXPIRED", ""), 4),
        (Unavailable("CONNECTION_REFUSED", ""), 4),
        (Conflict("X", ""), 2),
        (Conflict("FILE_EXISTS", ""), 1),
        (Denied("FOLDER_NOT_WRITABLE", ""), 1),
        (Broken("X", ""), 2),
    ],
)
def test_errors(error: FleetError, code: int) -> None:
    assert exit_codes.of_error(error) == code


def test_every_bucket_has_its_bits() -> None:
    assert {exit_codes.of_buckets([bucket]) for bucket in Bucket} == {0, 2, 4}


@pytest.mark.parametrize("page", ["fleetctl.md", "decisions/0007-exit-codes.md"])
def test_the_pages_tell_every_code(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    single = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert told == single | {exit_codes.FAILED | exit_codes.UNREACHABLE}
