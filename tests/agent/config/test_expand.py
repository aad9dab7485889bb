"""%(name)s."""

import pytest
from fleet_agent.config.expand import expand
from fleet_api.errors import BadRequest
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

NAMES: dict[str, str | int] = {"here": "/etc", "process_num": 7, "ENV_HOME": "/root", "ENV_SECRET": "hush"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("%(here)s/x", "/etc/x"),
        ("w_%(process_num)02d", "w_07"),
        ("%(process_num)s", "7"),
        ("%(ENV_HOME)s", "/root"),
        ("100%%", "100%"),
        ("%%(here)s", "%(here)s"),
        ("%(here)-6s|", "/etc  |"),
    ],
)
def test_expands(text: str, expanded: str) -> None:
    assert expand(text, NAMES) == expanded


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("%(nope)s %(also)s", "%(nope)s, %(also)s cannot be expanded", "here, process_num"),
        ("%(ENV_HOM)s", "%(ENV_HOM)s cannot be expanded", 'did you mean "ENV_HOME"?'),
        ("%(ENV_QQQ)s", "%(ENV_QQQ)s cannot be expanded", "no variable QQQ"),
        ("100%", "badly formatted", "write %%"),
        ("%s", "badly formatted", "write %%"),
        ("%(here)", "badly formatted", "write %%"),
        ("%(here)d", "badly formatted", "write %%"),
        ("%(here)99999999999s", "badly formatted", "write %%"),
        ("%(here)*s", "badly formatted", "write %%"),
    ],
)
def test_refuses(text: str, message: str, hint: str) -> None:
    with pytest.raises(BadRequest) as caught:
        expand(text, NAMES)
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert "hush" not in caught.value.message + caught.value.hint


def test_the_hint_does_not_list_the_environment() -> None:
    with pytest.raises(BadRequest) as caught:
        expand("%(nope)s", NAMES)
    assert "SECRET" not in caught.value.hint


@given(st.text(alphabet="%()sd0here_", max_size=12))
def test_agrees_with_python(text: str) -> None:
    names: dict[str, str | int] = {"here": "/etc", "e": "x", "d": 4}
    try:
        ours: str | None = expand(text, names)
    except BadRequest:
        ours = None
    try:
        theirs = text % names if "%" in text else text
    except (KeyError, ValueError, TypeError):
        theirs = None
    if ours is not None:
        assert ours == theirs
    elif theirs is not None:
        # A bare %s prints the whole mapping: refused here.
        assert "{" in theirs or "((" in text or "()" in text or "% " in text
