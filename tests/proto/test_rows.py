"""What is printed of a process: its name, and how long it has been up."""

import re

import pytest
from fleet_api.rows import aged_description, display_name, running_description
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [
        (0, "0:00:00"),
        (0.999, "0:00:00"),
        (91, "0:01:31"),
        (3_600, "1:00:00"),
        (86_399.9, "23:59:59"),
        (86_400, "1 day, 0:00:00"),
        (86_400 + 192, "1 day, 0:03:12"),
        (2 * 86_400 + 36_000, "2 days, 10:00:00"),
        (1_000 * 86_400, "1000 days, 0:00:00"),
        (-5, "0:00:00"),
    ],
)
def test_uptime_reads_as_supervisorctl_prints_it(seconds: float, clock: str) -> None:
    assert running_description(7, seconds) == f"pid 7, uptime {clock}"


@given(st.integers(0, 10**9))
def test_no_second_is_lost(seconds: int) -> None:
    match = re.fullmatch(
        r"pid 7, uptime (?:(\d+) days?, )?(\d+):(\d\d):(\d\d)", running_description(7, seconds)
    )
    assert match
    days, hours, minutes, rest = (int(text or 0) for text in match.groups())
    assert ((days * 24 + hours) * 60 + minutes) * 60 + rest == seconds
    assert hours < 24


def test_display_name() -> None:
    assert display_name("web", "web") == "web"
    assert display_name("web", "web_00") == "web:web_00"


@pytest.mark.parametrize("more", ["", "; disabled by alice: 'a; b'"])
def test_what_follows_the_uptime_outlives_its_change(more: str) -> None:
    before = running_description(7, 91.0) + more
    assert aged_description(before, 7, 92.0) == running_description(7, 92.0) + more
