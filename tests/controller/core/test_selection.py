import pytest
from fleet_controller.core import selection
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

IDS = [("cat", "cat"), ("web", "web_00"), ("web", "web_01"), ("db", "main")]


@pytest.mark.parametrize(
    ("terms", "chosen", "missing"),
    [
        ([], IDS, []),
        (["all"], IDS, []),
        (["cat"], [("cat", "cat")], []),
        (["web:*"], IDS[1:3], []),
        (["web:web_01"], IDS[2:3], []),
        (["web_0*"], IDS[1:3], []),
        (["*:main", "cat"], [("cat", "cat"), ("db", "main")], []),
        (["web:"], IDS[1:3], []),
        (["nope", "cat"], [("cat", "cat")], ["nope: no such process"]),
        (["nope", "nope"], [], ["nope: no such process"]),
        (["db:web_00"], [], ["db:web_00: no such process"]),
        ([""], [], [": no such process"]),
        (["[", "\x00"], [], ["[: no such process", "\x00: no such process"]),
    ],
)
def test_terms(terms: list[str], chosen: list[tuple[str, str]], missing: list[str]) -> None:
    found, errors = selection.select(terms, IDS)
    assert found == chosen
    assert [error.message for error in errors] == missing


def test_all_of_nothing_is_nothing_missing() -> None:
    assert selection.select(["all"], []) == ([], [])


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_terms_choose_known_processes_in_their_order(terms: list[str]) -> None:
    found, errors = selection.select(terms, IDS)
    assert found == [id_ for id_ in IDS if id_ in found]
    assert len(errors) <= len(terms)
