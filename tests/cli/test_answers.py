"""One model of answers, judged."""

import pytest
from fakes.process_rows import outcome_row, process_row
from fleet_api.errors import NotFound
from fleet_api.rows import ErrorRow
from fleet_cli.answers import Bucket, HostAnswer, count, error_row, settle_change, settle_read

pytestmark = pytest.mark.pure


def missing(term: str) -> ErrorRow:
    return ErrorRow(code="NO_SUCH_PROCESS", message=f"{term}: no such process", hint="")


def test_a_name_that_is_known_somewhere_is_no_mistake_elsewhere() -> None:
    answers = [
        HostAnswer("web1", Bucket.OK, rows=[process_row("web")], errors=[missing("db")]),
        HostAnswer("db1", Bucket.FAILED, rows=[process_row("db")], errors=[missing("web")]),
    ]
    settled = settle_read(answers)
    assert [answer.bucket for answer in settled] == [Bucket.OK, Bucket.OK]
    assert all(not answer.errors for answer in settled)


def test_a_name_that_is_known_nowhere_fails_every_host_asked() -> None:
    answers = [
        HostAnswer("web1", Bucket.OK, rows=[process_row("web")], errors=[missing("x")]),
        HostAnswer("web2", Bucket.OK, errors=[missing("x"), missing("web")]),
    ]
    settled = settle_read(answers)
    assert [answer.bucket for answer in settled] == [Bucket.FAILED, Bucket.FAILED]
    assert [answer.errors for answer in settled] == [[missing("x")], [missing("x")]]


def test_a_silent_host_neither_knows_nor_misses_a_name() -> None:
    error = ErrorRow(code="NO_ROUTE", message="no route", hint="")
    silent = HostAnswer("web2", Bucket.UNREACHABLE, error)
    settled = settle_read([HostAnswer("web1", Bucket.OK, errors=[missing("x")]), silent])
    assert [answer.bucket for answer in settled] == [Bucket.FAILED, Bucket.UNREACHABLE]
    assert settle_read([silent]) == [silent._replace(errors=[])]
    assert settle_read([]) == []


@pytest.mark.parametrize(
    ("results", "errors", "bucket"),
    [
        (["ok", "unchanged"], [], Bucket.OK),
        ([], [], Bucket.OK),
        (["ok", "failed"], [], Bucket.FAILED),
        (["ok", "refused"], [], Bucket.REFUSED),
        (["failed", "refused"], [], Bucket.FAILED),
        (["ok"], [missing("x")], Bucket.FAILED),
    ],
)
def test_a_change(results: list[str], errors: list[ErrorRow], bucket: Bucket) -> None:
    rows = [outcome_row(f"p{number}", result) for number, result in enumerate(results)]
    assert settle_change(HostAnswer("web1", Bucket.OK, outcomes=rows, errors=errors)).bucket is bucket


def test_what_the_controller_said_of_a_change_stands() -> None:
    answer = HostAnswer("web1", Bucket.UNKNOWN, outcomes=[outcome_row("a", "failed")])
    assert settle_change(answer).bucket is Bucket.UNKNOWN


def test_count_names_every_bucket() -> None:
    counts = count([HostAnswer("a", Bucket.OK), HostAnswer("b", Bucket.OK), HostAnswer("c", Bucket.UNKNOWN)])
    assert set(counts) == set(Bucket)
    assert (counts[Bucket.OK], counts[Bucket.UNKNOWN], counts[Bucket.FAILED]) == (2, 1, 0)


def test_error_row() -> None:
    assert error_row(NotFound("X", "what", "do")) == {"code": "X", "message": "what", "hint": "do"}


def test_buckets_in_words() -> None:
    assert Bucket.TIMED_OUT.words == "timed out"
