"""Who may come in, and under which name a change is written down."""

from pathlib import Path

import pytest
from fakes import certificates
from fleet_agent.gateway.admission import Door, actor
from fleet_api.errors import Denied
from fleet_api.identity import Identity, Role

pytestmark = pytest.mark.pure


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


def test_by_certificate(tmp_path: Path) -> None:
    ours = certificates.make(tmp_path / "ours")
    door = Door("test")

    def admit(path: str) -> Identity | None:
        return door.admit({"x509_pem_cert": [Path(path).read_bytes()]})

    assert admit(ours.operator.certificate) == ours.operator.identity
    assert admit(ours.controller.certificate) == ours.controller.identity
    for path, code in [
        (ours.agents["web1"].certificate, "ROLE_NOT_ALLOWED"),
        (certificates.make(tmp_path / "theirs", fleet="theirs").operator.certificate, "WRONG_FLEET"),
        (ours.ca, "CERTIFICATE_WITHOUT_IDENTITY"),
    ]:
        with pytest.raises(Denied) as raised:
            admit(path)
        assert raised.value.code == code
    with pytest.raises(Denied):
        door.admit({})


def test_plain_text_knows_nobody() -> None:
    assert Door(None).admit({}) is None
