"""Pauses between dials: laws for any throw of the dice."""

import pytest
from fleet_controller.core import backoff
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

dice = st.floats(0, 1, exclude_max=True)


@given(st.integers(0, 10**6), st.integers(0, 10**6), dice)
def test_a_pause_lies_between_nothing_and_the_cap(failures: int, hosts: int, roll: float) -> None:
    assert 0 <= backoff.pause(failures, hosts, roll) <= backoff.longest_pause(hosts)


@given(st.integers(1, 40))
def test_pauses_grow_until_the_cap_is_reached(failures: int) -> None:
    now, after = backoff.pause(failures, 5, 0.5), backoff.pause(failures + 1, 5, 0.5)
    assert after == min(2 * now, backoff.CAP_SECONDS / 2)


def test_the_first_pause_is_short_and_the_cap_is_ten_seconds_in_a_small_fleet() -> None:
    assert backoff.pause(1, 5, 0.999) < 0.2
    assert 9.9 < backoff.pause(20, 5, 0.999) < 10


@given(st.integers(251, 100_000))
def test_a_large_unreachable_fleet_is_dialled_at_a_bounded_rate(hosts: int) -> None:
    mean_pause = backoff.pause(50, hosts, 0.5)
    assert hosts / mean_pause <= 2 * backoff.ATTEMPTS_PER_SECOND + 1e-6
