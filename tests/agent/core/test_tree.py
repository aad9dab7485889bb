"""Who belongs to which run, and how a tree is drawn."""

import pytest
from fleet_agent.core.tree import Leader, Seen, counted, depths, from_mark, owners, run_mark
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

WEB = ("g:web", 3)
DB = ("g:db", 1)
LEADERS = {10: Leader(WEB, 1000), 20: Leader(DB, 1000)}


def seen(*processes: Seen) -> dict[int, Seen]:
    return {process.pid: process for process in processes}


LEADER = Seen(10, 1, 10, 10, 1000)
CHILD = Seen(11, 10, 10, 10, 1100)
GRANDCHILD = Seen(12, 11, 12, 12, 1200)
STRANGER = Seen(30, 1, 30, 30, 1100)


def test_children_of_children_belong_wherever_they_went() -> None:
    found = owners(seen(LEADER, CHILD, GRANDCHILD, STRANGER), LEADERS, "me")
    assert found == {10: WEB, 11: WEB, 12: WEB}


def test_orphans_are_known_by_group_session_and_mark() -> None:
    in_group = Seen(40, 1, 10, 5, 1100)
    in_session = Seen(41, 1, 41, 20, 1100)
    marked = Seen(42, 1, 42, 42, 1100, run_mark("me", WEB))
    of_another = Seen(43, 1, 43, 43, 1100, run_mark("you", WEB))
    found = owners(seen(in_group, in_session, marked, of_another), LEADERS, "me")
    assert found == {40: WEB, 41: DB, 42: WEB}


def test_what_another_agent_started_below_a_run_belongs_to_it_too() -> None:
    nested = Seen(44, 11, 44, 44, 1100, run_mark("you", DB))
    assert owners(seen(LEADER, CHILD, nested), LEADERS, "me")[44] == WEB


def test_a_pid_that_was_given_away_again_makes_nobody_a_descendant() -> None:
    newcomer = Seen(10, 1, 10, 10, 9000)
    its_child = Seen(50, 10, 10, 10, 9100)
    assert owners(seen(newcomer, its_child), LEADERS, "me") == {}


def test_older_than_the_leader_is_no_descendant() -> None:
    assert owners(seen(Seen(51, 1, 10, 1, 100)), LEADERS, "me") == {}


@pytest.mark.parametrize("id_", ["g:web", "a/b#c:ü d", "g:1#2"])
def test_a_mark_is_read_as_it_was_written(id_: str) -> None:
    assert from_mark("me", run_mark("me", (id_, 7))) == (id_, 7)


@pytest.mark.parametrize("mark", ["", "me", "me/", "me/g:a", "me/g:a#", "me/g:a#x", "you/g:a#1", "me/#1"])
def test_no_mark_of_ours(mark: str) -> None:
    assert from_mark("me", mark) is None


PROCESSES = st.builds(
    Seen,
    pid=st.integers(1, 12),
    parent=st.integers(0, 12),
    group=st.integers(1, 12),
    session=st.integers(1, 12),
    started=st.integers(900, 1200),
    mark=st.sampled_from(["", "me/g:web#3", "you/g:web#3"]),
)


@given(st.lists(PROCESSES))
def test_a_child_of_a_member_is_a_member_whatever_proc_says(processes: list[Seen]) -> None:
    all_of_them = seen(*processes)
    found = owners(all_of_them, LEADERS, "me")
    for pid, process in all_of_them.items():
        if process.parent in found:
            assert pid in found
        if pid in found:
            related = process.parent in found or {pid, process.group, process.session} & LEADERS.keys()
            assert related or process.mark.startswith("me/")


def test_a_tree_is_drawn_from_its_leader() -> None:
    parents = {10: 1, 11: 10, 12: 11, 13: 10, 40: 1}
    assert depths(parents, 10) == [(10, 0), (11, 1), (12, 2), (13, 1), (40, 1)]


def test_a_tree_without_its_leader_has_several_roots() -> None:
    assert depths({11: 10, 12: 11, 40: 1}) == [(11, 0), (12, 1), (40, 0)]


@given(st.dictionaries(st.integers(1, 20), st.integers(0, 20)), st.integers(0, 20))
def test_everybody_is_drawn_once(parents: dict[int, int], first: int) -> None:
    drawn = depths(parents, first)
    assert sorted(pid for pid, _ in drawn) == sorted(parents)


def test_counted() -> None:
    assert [counted(1), counted(2)] == ["1 descendant", "2 descendants"]
