"""Lines of troubles."""

import pytest
from fleet_api.rows import TroubleRow
from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.views import troubles

pytestmark = pytest.mark.pure


def trouble(count: int, message: str = "journal is full") -> TroubleRow:
    return TroubleRow(kind="journal", subject="", message=message, since=100.0, count=count, lost_bytes=0)


def test_one_line_a_trouble_with_its_host_where_there_are_several() -> None:
    answer = HostAnswer("web1", Bucket.OK, troubles=[trouble(37), trouble(1, "log\x1b is full")])
    assert troubles.lines(answer, 220.0, is_local=True) == [
        "trouble: journal is full (37 times, first 2m ago)",
        "trouble: log\\x1b is full (once, first 2m ago)",
    ]
    assert troubles.lines(answer, 220.0, is_local=False)[0].startswith("web1: trouble: journal")


def test_a_clock_that_went_back_reads_now() -> None:
    answer = HostAnswer("web1", Bucket.OK, troubles=[trouble(2)])
    assert troubles.lines(answer, 5.0, is_local=True) == ["trouble: journal is full (2 times, first now)"]


def test_nothing_to_say_is_not_said() -> None:
    assert troubles.lines(HostAnswer("web1", Bucket.OK), 1.0, is_local=True) == []
