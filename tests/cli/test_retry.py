"""Patience, on a clock that the test turns."""

import pytest
from fleet_api.errors import NotFound, Unavailable
from fleet_cli.retry import RETRY_SECONDS, Retry, patiently

pytestmark = pytest.mark.pure


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_asks_again_until_it_answers(clock: Clock) -> None:
    tries = []

    def attempt() -> int:
        tries.append(clock.now)
        if len(tries) < 5:
            raise Unavailable("DOOR_REFUSED", "not now")
        return len(tries)

    assert patiently(attempt, lambda error: True, Retry(clock, clock.sleep)) == 5


def test_gives_up_after_two_seconds_with_the_last_reason(clock: Clock) -> None:
    tries = []

    def attempt() -> None:
        tries.append(clock.now)
        raise Unavailable("DOOR_REFUSED", f"try {len(tries)}")

    with pytest.raises(Unavailable) as caught:
        patiently(attempt, lambda error: True, Retry(clock, clock.sleep))
    assert caught.value.message == f"try {len(tries)}"
    assert clock.now - 100.0 == pytest.approx(RETRY_SECONDS)
    assert 5 < len(tries) < 50


def test_another_kind_of_error_is_not_tried_again(clock: Clock) -> None:
    def attempt() -> None:
        raise NotFound("X", "gone")

    with pytest.raises(NotFound):
        patiently(attempt, lambda error: isinstance(error, Unavailable), Retry(clock, clock.sleep))
    assert clock.now == 100.0


def test_an_answer_in_between_begins_the_time_anew(clock: Clock) -> None:
    retry = Retry(clock, clock.sleep)
    for _ in range(3):
        while clock.now < 1000 and retry.wait_or_give_up():
            pass
        retry.reset()
    assert clock.now == pytest.approx(100.0 + 3 * RETRY_SECONDS)
