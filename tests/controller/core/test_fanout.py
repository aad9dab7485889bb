"""Who may go next: every host once, never more at once than the limit."""

import pytest
from fleet_controller.core import fanout
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

names = st.lists(st.sampled_from([f"h{n}" for n in range(12)]), max_size=20, unique=True)


@given(names, st.integers(-1, 15), st.randoms(use_true_random=False))
def test_every_host_ends_once_in_the_order_of_reach_and_never_more_than_the_limit(  # type: ignore[no-untyped-def]
    hosts, limit, dice
) -> None:
    progress = fanout.begin(hosts, limit)
    reached: list[str] = []
    begun: list[str] = []
    away: set[str] = set()
    while not progress.is_done:
        parts = [progress.unreached, set(progress.waiting), progress.running, progress.done]
        assert sum(map(len, parts)) == len(hosts) == len(set().union(*parts))
        host = dice.choice(sorted(progress.unreached | progress.running))
        if host in progress.running:
            progress = fanout.finish(progress, host)
        elif dice.random() < 0.3:
            away.add(host)
            progress = fanout.finish(progress, host)
        else:
            reached.append(host)
            progress = fanout.reach(progress, host)
        going, progress = fanout.advance(progress)
        begun += going
        assert len(progress.running) <= max(1, limit)
        assert not progress.waiting or len(progress.running) == max(1, limit)
    assert begun == reached
    assert progress.done == set(hosts) == away | set(reached)


def test_hosts_that_are_not_reached_keep_nobody_waiting() -> None:
    progress = fanout.begin(["dead1", "dead2", "web1"], 1)
    going, progress = fanout.advance(fanout.reach(progress, "web1"))
    assert going == ("web1",)
    assert not fanout.finish(progress, "web1").is_done


def test_what_is_not_so_changes_nothing() -> None:
    progress = fanout.reach(fanout.begin(["a", "b"], 1), "a")
    assert fanout.finish(progress, "a") == progress, "it waits still"
    assert fanout.reach(progress, "a") == progress
    assert fanout.reach(progress, "x") == progress


def test_no_hosts_are_done_at_once() -> None:
    assert fanout.begin([], 4).is_done
