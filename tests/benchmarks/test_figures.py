"""What benchmarks make of their samples: medians, percentiles, ratios, and whether a target holds."""

import math
import statistics

import pytest
from figures import at_least, at_most, median, number, percentile, ratio, table, times
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

SAMPLES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50)


@given(SAMPLES)
def test_the_median_is_the_middle(values: list[float]) -> None:
    assert median(values) == pytest.approx(statistics.median(values))


@given(SAMPLES, st.floats(0, 1))
def test_a_percentile_parts_the_samples(values: list[float], share: float) -> None:
    found = percentile(values, share)
    slack = 1e-6 * max(1.0, abs(found))
    assert min(values) <= found + slack
    assert sum(value <= found + slack for value in values) >= math.floor(share * (len(values) - 1)) + 1


def test_the_ends_are_the_extremes() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.0) == 1.0
    assert percentile([3.0, 1.0, 2.0], 1.0) == 3.0
    assert percentile([1.0, 2.0], 0.99) == pytest.approx(1.99)


def test_nothing_measured_holds_no_target() -> None:
    """A benchmark that lost its samples must not look like a success."""
    assert math.isnan(median([]))
    assert not at_most("restart", median([]), 2.5, "ms").holds
    assert not at_least("speed", median([]), 0.9).holds


def test_a_target_holds_up_to_its_limit() -> None:
    assert at_most("restart", 2.5, 2.5, "ms").holds
    assert not at_most("restart", 2.51, 2.5, "ms").holds
    assert at_least("sooner", 4.0, 4.0).holds
    assert not at_least("sooner", 3.99, 4.0).holds


def test_a_verdict_says_what_was_wanted() -> None:
    assert str(at_most("restart", 3.0, 2.5, "ms")) == "MISSED  restart: 3.00 ms (target at most 2.5 ms)"
    assert str(at_least("sooner", 40.2, 40.0)) == "holds   sooner: 40.2 times (target at least 40 times)"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.00123, "0.00123"),
        (1.555, "1.55"),
        (15.55, "15.6"),
        (1234.5, "1234"),
        (math.nan, "-"),
        (math.inf, "inf"),
    ],
)
def test_three_digits_are_shown(value: float, text: str) -> None:
    assert number(value) == text


def test_a_ratio_to_nothing_is_no_error() -> None:
    assert times(ratio(0.3, 0.0)) == "infx"
    assert times(ratio(6.0, 1.5)) == "4.00x"


def test_columns_stand_under_their_headers() -> None:
    text = table(["round", "ms"], [["1", "2.5"], ["all", "12.25"]])
    assert text.splitlines() == ["  round     ms", "  1        2.5", "  all    12.25"]
