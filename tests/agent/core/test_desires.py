"""A wish in words and in state."""

import pytest
from fleet_agent.core.desires import Desire, DesireKind
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("actor", "reason", "words"),
    [
        ("alice", "power work", "disabled by alice: 'power work'"),
        ("alice", "", "disabled by alice"),
        ("", "", "disabled"),
    ],
)
def test_words(actor: str, reason: str, words: str) -> None:
    assert Desire(DesireKind.DISABLED, actor, reason, 1.0).words() == words


@given(
    st.builds(
        Desire, st.sampled_from(DesireKind), st.text(), st.text(), st.floats(allow_nan=False), st.text()
    )
)
def test_state_survives(desire: Desire) -> None:
    assert Desire.from_state(desire.to_state()) == desire


@pytest.mark.parametrize(
    "state", [{}, {"kind": "asleep", "actor": "", "reason": "", "at": 1, "operation": ""}]
)
def test_what_is_no_wish_is_refused(state: dict[str, object]) -> None:
    with pytest.raises((KeyError, ValueError)):
        Desire.from_state(state)
