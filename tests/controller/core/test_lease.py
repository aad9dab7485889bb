import pytest
from fleet_controller.core import lease
from fleet_controller.model import Reach
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("age", "reach", "words"),
    [
        (0.0, Reach.CONNECTED, "answers"),
        (3.0, Reach.CONNECTED, "answers"),
        (3.1, Reach.LATE, "late: last answer 3 s ago"),
        (6.0, Reach.LATE, "late: last answer 6 s ago"),
        (7.0, Reach.UNREACHABLE, "no answer since 7 s"),
        (300.0, Reach.UNREACHABLE, "no answer since 5 min"),
    ],
)
def test_a_host_is_late_after_one_and_a_half_beats_and_lost_after_three(
    age: float, reach: Reach, words: str
) -> None:
    judged = lease.judge(100.0, 100.0 + age, 2.0)
    assert (judged.reach, judged.words) == (reach, words)
    assert judged.age_seconds == pytest.approx(age)


def test_a_host_that_was_never_heard_is_unreachable() -> None:
    assert lease.judge(None, 5.0, 2.0).reach is Reach.UNREACHABLE


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.05, 600), st.floats(0, 1e6))
def test_time_never_makes_a_host_better(beat: float, now: float, heartbeat: float, more: float) -> None:
    order = [Reach.CONNECTED, Reach.LATE, Reach.UNREACHABLE]
    before = lease.judge(beat, now, heartbeat)
    after = lease.judge(beat, now + more, heartbeat)
    assert order.index(before.reach) <= order.index(after.reach)
    assert 0 <= before.age_seconds <= after.age_seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0.4 s"), (7.9, "7 s"), (119, "119 s"), (120, "2 min"), (7300, "2 h"), (200000, "2 days")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert lease.in_words(seconds) == words
