"""Names of programs in answers."""

import pytest
from fleet_cli import programs

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("terms", "is_named"),
    [
        (["web"], True),
        (["web:web"], True),
        (["x", "web"], True),
        (["web:*"], False),
        (["all"], False),
        (["we*"], False),
        ([], False),
    ],
)
def test_is_named(terms: list[str], is_named: bool) -> None:
    assert programs.is_named(terms, "web", "web") is is_named


def test_a_process_of_a_group_is_named_with_it() -> None:
    assert programs.is_named(["web:web_00"], "web", "web_00")
    assert not programs.is_named(["web_00"], "web", "web_00")


@pytest.mark.parametrize(
    ("message", "subject", "line"),
    [
        ("x: no such process", "x", "x: ERROR (no such process)"),
        ("g: no such group", "g", "g: ERROR (no such group)"),
        ("g:n: no such process", "g:n", "g:n: ERROR (no such process)"),
        ("g:*: no such process", "g:*", "g:*: ERROR (no such process)"),
        ("nothing matches", "", "ERROR (nothing matches)"),
    ],
)
def test_a_name_that_means_nothing(message: str, subject: str, line: str) -> None:
    assert programs.subject(message) == subject
    assert programs.missing_line(message) == line
