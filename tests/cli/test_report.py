"""How answers become output and an exit code; the forms of output are tested with their verbs."""

from collections.abc import Iterator

import pytest
from fakes.fleetctl import read, screen
from fakes.process_rows import process_row
from fleet_api.errors import Broken, Denied, FleetError, Unavailable
from fleet_cli import report
from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.options import Output
from fleet_cli.report import Collected

pytestmark = pytest.mark.pure

OK = HostAnswer("web1", Bucket.OK, rows=[process_row("w")])
STOPPED = HostAnswer("web1", Bucket.OK, rows=[process_row("w", "STOPPED")])
FAILED = HostAnswer("web2", Bucket.FAILED, error={"code": "X", "message": "no", "hint": ""})


@pytest.mark.parametrize(
    ("answers", "failure", "code"),
    [
        ([OK], Unavailable("GONE", "lost"), 4),
        ([STOPPED], Unavailable("GONE", "lost"), 4),
        ([FAILED], Unavailable("GONE", "lost"), 6),
        ([OK], Broken("X", "bug"), 2),
        ([OK], Denied("X", "not any more"), 9),
    ],
)
def test_a_connection_that_breaks_is_no_success(
    answers: list[HostAnswer], failure: FleetError, code: int
) -> None:
    made = screen()
    collected = Collected(answers, failure=failure)
    assert report.status(made.invocation, Output.TABLE, collected, is_local=False) == code
    assert f"error: {failure.message}" in read(made.err)


def test_collect_keeps_what_came_before_an_error() -> None:
    def answers() -> Iterator[HostAnswer]:
        yield OK
        raise Unavailable("GONE", "lost")

    made = screen()
    collected = report.collect(answers(), made.invocation, Output.TABLE, "status", "status")
    assert collected.answers == [OK]
    assert collected.failure is not None
    assert collected.failure.code == "GONE"


def test_jsonl_prints_each_answer_before_the_next_is_asked_for() -> None:
    made = screen()
    seen = []

    def answers() -> Iterator[HostAnswer]:
        for host in ("web1", "web2"):
            seen.append(read(made.out).count("\n"))
            yield OK._replace(host=host)

    collected = report.collect(answers(), made.invocation, Output.JSONL, "status", "status")
    assert seen == [0, 1]
    assert collected.printed == {"web1", "web2"}
    report.status(made.invocation, Output.JSONL, collected, is_local=False)
    assert read(made.out).count('"web1"') == 1
