"""Under which name a change is written down."""

import pytest
from fleet_agent.gateway.admission import ROLES, actor
from fleet_api.identity import Identity, Role

pytestmark = pytest.mark.pure


def test_no_agent_commands_its_neighbour() -> None:
    assert Role.AGENT not in ROLES


@pytest.mark.parametrize(
    ("peer", "stated", "written"),
    [
        (Identity("test", Role.OPERATOR, "alice"), "", "user/alice"),
        (Identity("test", Role.OPERATOR, "alice"), "user/bob", "user/alice"),
        (Identity("test", Role.CONTROLLER, "main"), "", "controller/main"),
        (Identity("test", Role.CONTROLLER, "main"), "user/bob", "controller/main/user/bob"),
        (None, "", "anonymous"),
        (None, "user/bob", "anonymous/user/bob"),
    ],
)
def test_the_certificate_comes_first(peer: Identity | None, stated: str, written: str) -> None:
    assert actor(peer, stated) == written
