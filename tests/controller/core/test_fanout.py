import pytest
from fleet_controller.core import fanout
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

names = st.lists(st.sampled_from([f"h{n}" for n in range(12)]), max_size=20)


@given(names, st.integers(-1, 15), st.randoms(use_true_random=False))
def test_every_host_runs_once_in_order_and_never_more_than_the_limit(hosts, limit, dice) -> None:  # type: ignore[no-untyped-def]
    progress = fanout.begin(hosts, limit)
    begun: list[str] = []
    running: set[str] = set()
    while not progress.is_done:
        going, progress = fanout.advance(progress)
        begun += going
        running |= set(going)
        assert 1 <= len(running) <= max(1, limit)
        assert not progress.waiting or len(running) == max(1, limit)
        ended = dice.choice(sorted(running))
        running.remove(ended)
        progress = fanout.finish(progress, ended)
    assert begun == list(dict.fromkeys(hosts))
    assert progress.done == set(hosts)


def test_a_host_that_does_not_run_cannot_finish() -> None:
    progress = fanout.begin(["a", "b"], 1)
    assert fanout.finish(progress, "a") == progress


def test_no_hosts_are_done_at_once() -> None:
    assert fanout.begin([], 4).is_done
