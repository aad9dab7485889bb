"""What is wrong with the agent's credentials is told as `tls` tells it; reading them leaves nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import certificates
from fakes.certificates import Files, Pki
from fleet_agent.gateway import own_credentials
from fleet_api import tls
from fleet_api.errors import Broken, FleetError
from fleet_api.identity import Role

Parts = tuple[bytes, bytes, bytes]

LOOK = """
import json, sys
import fleet_agent.gateway.main
from fleet_agent.gateway import own_credentials
from fleet_api import identity
certificate, key, ca, now = json.loads(sys.stdin.read())
found = own_credentials.check(certificate.encode(), key.encode(), ca.encode(), now)
context = {"x509_pem_cert": [certificate.encode()], "peer_uri": [found.identity.uri.encode()]}
caller = identity.from_auth_context(context)
print(json.dumps([found.identity.uri, caller.uri, "cryptography" in sys.modules]))
"""


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return certificates.make(tmp_path)


def parts(files: Files) -> Parts:
    certificate, key, ca = (Path(path).read_bytes() for path in files[:3])
    return certificate, key, ca


def expired(pki: Pki) -> Parts:
    return parts(pki.issue(Role.AGENT, "web1", days=1, now=time.time() - 3 * 86400))


def swapped(pki: Pki) -> Parts:
    certificate, _, ca = parts(pki.agents["web1"])
    return certificate, parts(pki.controller)[1], ca


def foreign(pki: Pki) -> Parts:
    certificate, key, _ = parts(pki.agents["web1"])
    return certificate, key, parts(certificates.make(pki.folder / "other").agents["web1"])[2]


def garbage(pki: Pki) -> Parts:
    return b"\xff\0", *parts(pki.agents["web1"])[1:]


def test_credentials_in_order(pki: Pki) -> None:
    found = own_credentials.check(*parts(pki.agents["web1"]), time.time())
    assert found == pki.agents["web1"].load()


@pytest.mark.parametrize("make", [expired, swapped, foreign, garbage])
def test_what_is_wrong_is_told_as_in_this_process(pki: Pki, make: Callable[[Pki], Parts]) -> None:
    bad, now = make(pki), time.time()
    with pytest.raises(FleetError) as here:
        tls.from_pem(*bad, now)
    with pytest.raises(type(here.value)) as there:
        own_credentials.check(*bad, now)
    assert there.value.to_wire() == here.value.to_wire()


@pytest.mark.parametrize("how", ["killed", "raised"])
def test_a_check_that_breaks_is_told(pki: Pki, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    def break_down(*_: object) -> None:
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("odd")

    monkeypatch.setattr(tls, "from_pem", break_down)
    with pytest.raises(Broken, match="ended with -9" if how == "killed" else "RuntimeError: odd"):
        own_credentials.check(*parts(pki.agents["web1"]), time.time())


def test_nothing_of_the_library_stays(pki: Pki) -> None:
    files = parts(pki.agents["web1"])
    asked = json.dumps([*(text.decode() for text in files), time.time()])
    look = [sys.executable, "-c", LOOK]
    done = subprocess.run(look, input=asked, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    uri = pki.agents["web1"].identity.uri
    assert json.loads(done.stdout) == [uri, uri, False]
