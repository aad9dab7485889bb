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
        (["web:*", "all"], IDS, []),
        (["web:web_0?"], IDS[1:3], []),
        (["we*"], IDS[1:3], []),
        (["*:main", "cat"], [("db", "main"), ("cat", "cat")], []),
        (["web:"], IDS[1:3], []),
        (["nope", "cat"], [("cat", "cat")], ["nope: no such process"]),
        (["nope", "nope"], [], ["nope: no such process"]),
        (["db:web_00"], [], ["db:web_00: no such process"]),
        (["mail:*"], [], ["mail: no such group"]),
        (["web_00"], [], ["web_00: no such process"]),
        ([""], [], [": no such process"]),
        (["[", "\x00"], [], ["[: no such process", "\x00: no such process"]),
    ],
)
def test_terms(terms: list[str], chosen: list[tuple[str, str]], missing: list[str]) -> None:
    found, errors = selection.select(terms, IDS)
    assert found == chosen
    assert [error.message for error in errors] == missing


@pytest.mark.parametrize(
    ("term", "hint"),
    [
        ("web", '"web:*" means the whole group'),
        ("web_00", 'did you mean "web:web_00"?'),
        ("x", "fleetctl status shows all processes"),
    ],
)
def test_what_was_probably_meant(term: str, hint: str) -> None:
    assert selection.select([term], IDS)[1][0].hint == hint


def test_all_of_nothing_is_nothing_missing() -> None:
    assert selection.select(["all"], []) == ([], [])


@given(st.lists(st.text(max_size=8), max_size=5))
def test_any_terms_choose_known_processes_once(terms: list[str]) -> None:
    found, errors = selection.select(terms, IDS)
    assert len(set(found)) == len(found) and set(found) <= set(IDS)
    assert len(errors) <= len(terms)
