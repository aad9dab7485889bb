"""Folding: what is printed, that it loses nothing, and that it stays quick where nothing folds."""

import random
import time

import pytest
from fleet_api.errors import BadRequest
from fleet_api.hostset import expand, fold
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

NUMBERS = st.one_of(st.integers(0, 30).map(str), st.integers(0, 120).map("{:02}".format), st.just("000"))
NAMES = st.lists(
    st.one_of(st.sampled_from(["web", "db", "n", "-", "."]), NUMBERS), min_size=1, max_size=5
).map("".join)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        ("", ""),
        ("web1", "web1"),
        ("web", "web"),
        ("web1 web1", "web1"),
        ("web3 web1 web2", "web[1-3]"),
        ("web1 web2 web4", "web[1-2,4]"),
        ("web2 web4 web6", "web[2,4,6]"),
        ("web10 web2 db1", "db1,web[2,10]"),
        ("web01 web02 web10", "web[01-02,10]"),
        ("web08 web09 web10 web11", "web[08-11]"),
        ("web9 web10", "web[9-10]"),
        ("web1 web01 web001", "web[1,01,001]"),
        ("web99 web100 web09", "web[100,09,99]"),
        ("dc1n1 dc1n2 dc2n1 dc2n2", "dc[1-2]n[1-2]"),
        ("dc1n1 dc1n2 dc2n1", "dc1n[1-2],dc2n1"),
        ("10.0.0.1 10.0.0.2 10.0.1.1 10.0.1.2", "10.0.[0-1].[1-2]"),
        ("a.example b.example", "a.example,b.example"),
        ("1 2 3", "[1-3]"),
        ("n12345678901234567891 n12345678901234567892", "n123456789012345678[91-92]"),
    ],
)
def test_folded_form(names: str, folded: str) -> None:
    assert fold(names.split()) == folded


@given(st.sets(NAMES, min_size=1, max_size=40))
def test_expanding_gives_back_exactly_what_was_folded(names: set[str]) -> None:
    assert set(expand(fold(names))) == names


@given(st.lists(NAMES, min_size=1, max_size=12))
def test_order_and_repetition_do_not_matter(names: list[str]) -> None:
    assert fold(names) == fold(reversed(names)) == fold(names + names) == fold(sorted(names))


@given(st.integers(0, 50), st.integers(0, 200), st.integers(0, 3))
def test_a_range_folds_into_one_pattern(first: int, length: int, width: int) -> None:
    last = first + length
    width = width and max(width, len(str(last)))
    names = [f"n{number:0{width}}" for number in range(first, last + 1)]
    assert "," not in fold(names)
    assert expand(fold(names)) == names


@pytest.mark.parametrize("name", ["a,b", "", "a b", "a[1]", "@a", "a*", "a?", "a!b", "a\n", "é"])
def test_name_that_no_expression_can_mean_is_refused(name: str) -> None:
    with pytest.raises(BadRequest) as refused:
        fold(["web1", name])
    assert refused.value.code == "BAD_HOST_NAME"
    assert repr(name) in refused.value.message


def seconds_of_fold(names: list[str]) -> float:
    started = time.process_time()
    folded = fold(names)
    spent = time.process_time() - started
    assert folded.count(",") >= len(names) - 1
    return spent


def test_ten_thousand_names_that_do_not_fold() -> None:
    """Takes 0.1 s; a quadratic way would take minutes."""
    dice = random.Random(7)
    strange = [f"{dice.getrandbits(80):020x}" for _ in range(10_000)]
    diagonal = [f"rack{2 * number}-slot{3 * number}-unit{5 * number}" for number in range(10_000)]
    assert seconds_of_fold(strange) < 5
    assert seconds_of_fold(diagonal) < 5


def test_names_of_many_numbers_stay_cheap() -> None:
    dice = random.Random(7)
    names = ["-".join(str(dice.randrange(10)) for _ in range(100)) for _ in range(2_000)]
    assert seconds_of_fold(names) < 5
    assert set(expand(fold(names[:200]))) == set(names[:200])
