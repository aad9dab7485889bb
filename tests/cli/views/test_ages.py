"""How long ago."""

import pytest
from fleet_cli.answers import Reachability
from fleet_cli.views.ages import age_text, seen_text, since

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "now"),
        (0.9, "now"),
        (1.0, "1s ago"),
        (59.9, "59s ago"),
        (60.0, "1m ago"),
        (240.0, "4m ago"),
        (3600.0, "1h ago"),
        (86399.0, "23h ago"),
        (200000.0, "2d ago"),
    ],
)
def test_age(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


def test_the_controllers_own_measure_is_preferred() -> None:
    assert since(Reachability("late", last_seen_time=50.0, age_seconds=3.0), 100.0) == 3.0
    assert since(Reachability("late", last_seen_time=50.0), 100.0) == 50.0
    assert since(Reachability("late", last_seen_time=150.0), 100.0) == 0.0
    assert since(Reachability("unreachable"), 100.0) is None
    assert since(None, 100.0) is None


def test_seen() -> None:
    four_minutes, two_days = (Reachability("unreachable", age_seconds=age) for age in (240.0, 180000.0))
    never = Reachability("unreachable")
    assert seen_text([four_minutes], 0.0) == "(last seen 4m ago)"
    assert seen_text([four_minutes, four_minutes], 0.0) == "(last seen 4m ago)"
    assert seen_text([two_days, four_minutes], 0.0) == "(last seen 4m ago to 2d ago)"
    assert seen_text([never, four_minutes, never], 0.0) == "(last seen 4m ago, 2 never seen)"
    assert seen_text([never, never], 0.0) == "(never seen)"
    assert seen_text([], 0.0) == ""
