"""What an operator's terms mean."""

import pytest
from fleet_api.errors import NotFound
from fleet_api.selection import select
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

IDS = [("web", "web"), ("workers", "w_00"), ("workers", "w_01"), ("api", "api"), ("odd", "a[1]")]


@pytest.mark.parametrize(
    ("terms", "names"),
    [
        (["web"], ["web:web"]),
        (["workers:w_01", "web"], ["workers:w_01", "web:web"]),
        (["workers:*"], ["workers:w_00", "workers:w_01"]),
        (["workers:"], ["workers:w_00", "workers:w_01"]),
        (["web", "web", "web:web", "web:*"], ["web:web"]),
        (["nobody", "all"], [f"{group}:{name}" for group, name in IDS]),
        (["w*"], ["web:web", "workers:w_00", "workers:w_01"]),
        (["?pi"], ["api:api"]),
        (["wor*:w_0[1-9]"], ["workers:w_01"]),
        (["*:w_00"], ["workers:w_00"]),
        (["odd:a[1]"], ["odd:a[1]"]),
        (["workers:w_00", "workers:*"], ["workers:w_00", "workers:w_01"]),
    ],
)
def test_terms(terms: list[str], names: list[str]) -> None:
    selection = select(terms, IDS)
    assert [f"{group}:{name}" for group, name in selection.matched] == names
    assert selection.unknown == ()


@pytest.mark.parametrize(
    ("term", "code", "message", "hint"),
    [
        ("nobody", "NO_SUCH_PROCESS", "nobody: no such process", ""),
        ("workers", "NO_SUCH_PROCESS", "workers: no such process", '"workers:*"'),
        ("w_00", "NO_SUCH_PROCESS", "w_00: no such process", '"workers:w_00"'),
        ("workers:w_09", "NO_SUCH_PROCESS", "workers:w_09: no such process", ""),
        ("gone:*", "NO_SUCH_GROUP", "gone: no such group", ""),
        ("gone:", "NO_SUCH_GROUP", "gone: no such group", ""),
        ("x*", "NO_SUCH_PROCESS", "x*: no such process", ""),
        ("WEB", "NO_SUCH_PROCESS", "WEB: no such process", ""),
        ("", "NO_SUCH_PROCESS", ": no such process", ""),
    ],
)
def test_unknown_terms(term: str, code: str, message: str, hint: str) -> None:
    selection = select([term, "web"], IDS)
    assert selection.matched == (("web", "web"),)
    (error,) = selection.unknown
    assert isinstance(error, NotFound)
    assert (error.code, error.message) == (code, message)
    assert hint in error.hint


def test_a_long_term_is_cut_in_the_message() -> None:
    (error,) = select(["x" * 100_000], IDS).unknown
    assert len(error.message) < 200


@given(st.lists(st.text(alphabet="aw:*?[]_0", max_size=8), max_size=6))
def test_each_term_matches_or_is_unknown(terms: list[str]) -> None:
    selection = select(terms, IDS)
    assert len(set(selection.matched)) == len(selection.matched)
    assert set(selection.matched) <= set(IDS)
    alone = [select([term], IDS) for term in dict.fromkeys(terms)]
    assert len(selection.unknown) == sum(not one.matched for one in alone)
    assert all(bool(one.matched) != bool(one.unknown) for one in alone)
