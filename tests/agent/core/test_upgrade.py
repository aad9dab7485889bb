"""Which versions may take over from which, and in what formats the state must be before."""

import json

import pytest
from fleet_agent.core.upgrade import Known, Plan, Report, plan
from fleet_agent.formats.format import Format, Older
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

SAME = Older(dict, dict)
ONE_WAY = Older(dict)


def journal(version: int, first_written: int = 1, is_vital: bool = True) -> dict[str, Format]:
    """A running version whose journal is of this version; it writes those from `first_written` on."""
    older = {number: SAME if number >= first_written else ONE_WAY for number in range(1, version)}
    return {"journal": Format("journal", "the journal", "v", is_vital, version, older)}


def report(
    reads: tuple[int, ...], found: tuple[int, ...] = (), problems: tuple[str, ...] = (), name: str = "journal"
) -> Report:
    return Report("0.1.0", "3.11.7", 1, {name: Known(reads, max(reads), found)}, "abcd", problems)


@pytest.mark.parametrize("reads", [(1,), (1, 2), (1, 2, 3)])
def test_who_reads_what_is_there_goes_at_once(reads: tuple[int, ...]) -> None:
    assert plan(report(reads, (1,)), {}, journal(1)) == Plan({}, ())


def test_an_upgrade_reads_what_the_older_one_writes() -> None:
    assert plan(report((1, 2), (1,)), {}, journal(1)) == Plan({}, ())


def test_a_downgrade_gets_the_newest_format_that_both_know() -> None:
    assert plan(report((1, 2), (4,)), {}, journal(4)) == Plan({"journal": 2}, ())


def test_a_file_that_was_not_made_yet_is_thought_of() -> None:
    assert plan(report((1,)), {}, journal(2)) == Plan({"journal": 1}, ())


def test_what_was_rewritten_is_not_asked_for_again() -> None:
    assert plan(report((1,), (1,)), {"journal": 1}, journal(2)) == Plan({}, ())
    assert plan(report((1,), (1,)), {"journal": 0}, journal(2)) == Plan({"journal": 1}, ())


def test_what_nobody_writes_any_more_is_refused_in_words() -> None:
    words = "the journal is in format 2; fleet-agent 0.1.0 reads only 1"
    assert plan(report((1,), (2,)), {}, journal(2, first_written=2)) == Plan({}, (words,))


def test_an_old_file_that_is_left_is_brought_up_to_date() -> None:
    assert plan(report((2, 3), (1, 3)), {}, journal(3)) == Plan({"journal": 3}, ())


def test_who_knows_nothing_of_a_vital_format_is_refused() -> None:
    words = "fleet-agent 0.1.0 does not know the journal"
    assert plan(report((1,), name="other"), {}, journal(1)) == Plan({}, (words,))
    assert plan(report((1,), name="other"), {}, journal(1, is_vital=False)) == Plan({}, ())


def test_one_refusal_is_enough_to_leave_everything_as_it_is() -> None:
    formats = {**journal(2), "results": Format("results", "the results")}
    made = plan(report((1,), (2,)), {}, formats)
    assert made == Plan({}, ("fleet-agent 0.1.0 does not know the results",))


def test_problems_refuse_unless_a_rewriting_may_be_their_cure() -> None:
    assert plan(report((1,), (1,), ("it is broken",)), {}, journal(1)) == Plan({}, ("it is broken",))
    assert plan(report((1,), (2,), ("format 2?",)), {}, journal(2)) == Plan({"journal": 1}, ())


versions = st.integers(1, 5)


@given(st.sets(versions, min_size=1), st.sets(versions), versions, versions)
def test_after_the_plan_everything_can_be_read(
    reads: set[int], found: set[int], version: int, first: int
) -> None:
    ours = journal(version, first)
    made = plan(report(tuple(sorted(reads)), tuple(sorted(found))), {}, ours)
    if made.refusals:
        assert not made.rewrite
        assert not reads.intersection(ours["journal"].writes)
    elif made.rewrite:
        assert made.rewrite["journal"] in reads.intersection(ours["journal"].writes)
    else:
        assert reads >= {*found, version}


def test_a_report_comes_back_from_what_is_printed() -> None:
    whole = report((1, 2), (2,), ("a",))._replace(notes=("b",))
    state = json.loads(json.dumps(whole.to_state()))
    assert Report.from_state(state) == whole
    assert Report.from_state({**state, "later": 1}) == whole
    assert state["formats"] == {"journal": {"reads": [1, 2], "writes": 2, "found": [2]}}


@pytest.mark.parametrize("state", [{}, [], None, {"formats": 3}, {"formats": {"journal": {}}}])
def test_garbage_is_no_report(state: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        Report.from_state(state)
