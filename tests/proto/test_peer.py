"""The kernel's word on who is at the other end."""

import os
import socket
import sys
from pathlib import Path

import pytest
from fleet_api.peer import uid_of_peer

CONNECT = """
import os, socket, sys
os.setresuid(65534, 65534, 65534)
client = socket.socket(socket.AF_UNIX)
client.connect("\\0" + sys.argv[1])
client.recv(1)
"""


def test_of_both_ends(tmp_path: Path) -> None:
    path = str(tmp_path / "door")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        listener.listen()
        client.connect(path)
        served, _ = listener.accept()
        with served:
            assert uid_of_peer(served) == uid_of_peer(client) == os.geteuid()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_of_somebody_else() -> None:
    # Abstract, so that no folder is in the way.
    name = f"fleet-test-{os.getpid()}-{os.urandom(4).hex()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0" + name)
        listener.listen()
        client = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-IS", "-c", CONNECT, name])
        listener.settimeout(20)
        served, _ = listener.accept()
        with served:
            assert uid_of_peer(served) == 65534
        assert os.waitpid(client, 0)[1] == 0
