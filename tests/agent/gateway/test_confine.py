"""Whom to become: what the configuration may say. The act itself is seen in test_main."""

from typing import Any

import pytest
from fleet_agent.gateway.confine import User, user_of
from fleet_api.errors import BadRequest

pytestmark = pytest.mark.pure


def test_a_user_is_two_ids_or_nobody_else() -> None:
    assert user_of(None) is None
    assert user_of({"uid": 5, "gid": 6}) == User(5, 6)


@pytest.mark.parametrize(
    "wrong", ["root", 0, {}, {"uid": 5}, {"uid": "5", "gid": 5}, {"uid": -1, "gid": 0}, []]
)
def test_anything_else_is_refused_and_never_read_as_stay_root(wrong: Any) -> None:
    with pytest.raises(BadRequest) as raised:
        user_of(wrong)
    assert repr(wrong) in raised.value.message
