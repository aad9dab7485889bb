"""When a silent host is late, and when it is lost."""

import pytest
from fleet_controller.core import lease
from fleet_controller.model import Reach
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("age", "reach"),
    [
        (-1.0, Reach.CONNECTED),
        (0.0, Reach.CONNECTED),
        (3.0, Reach.CONNECTED),
        (3.1, Reach.LATE),
        (6.0, Reach.LATE),
        (7.0, Reach.UNREACHABLE),
        (300.0, Reach.UNREACHABLE),
    ],
)
def test_a_host_is_late_after_one_and_a_half_beats_and_lost_after_three(age: float, reach: Reach) -> None:
    assert lease.judge(100.0, 100.0 + age, 2.0) is reach


def test_a_host_that_was_never_heard_is_unreachable() -> None:
    assert lease.judge(None, 5.0, 2.0) is Reach.UNREACHABLE


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.05, 600), st.floats(0, 1e6))
def test_time_never_makes_a_host_better(beat: float, now: float, heartbeat: float, more: float) -> None:
    order = [Reach.CONNECTED, Reach.LATE, Reach.UNREACHABLE]
    before = lease.judge(beat, now, heartbeat)
    after = lease.judge(beat, now + more, heartbeat)
    assert order.index(before) <= order.index(after)
