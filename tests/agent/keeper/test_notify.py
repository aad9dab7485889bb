"""What a service manager is told, and when the supervisor is asked on its behalf."""

import math
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.supervised_keeper import SLEEP, SupervisedKeeper, eventually, is_alive
from fleet_agent.keeper.notify import GRACE_SECONDS, Beat, ServiceManager
from fleet_agent.link import messages


class Listener:
    """The manager's socket: `path` as NOTIFY_SOCKET says it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + path[1:] if path.startswith("@") else path)
        self.socket.settimeout(20)

    def hear(self) -> dict[str, str]:
        """The assignments of the next message."""
        text = self.socket.recv(4096).decode()
        return dict(line.split("=", 1) for line in text.splitlines())

    def hear_until(self, key: str) -> dict[str, str]:
        """The next message that assigns this."""
        while True:
            message = self.hear()
            if key in message:
                return message


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    path = str(tmp_path / "notify") if request.param == "path" else f"@fleet-test-{os.getpid()}-{id(request)}"
    listener = Listener(path)
    yield listener
    listener.socket.close()


def manager_of(listener: Listener, **more: str) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": listener.path, **more}, 77)


def test_what_is_told_and_how(listener: Listener) -> None:
    manager = manager_of(listener)
    manager.ready(5.0, "supervising")
    assert listener.hear() == {"READY": "1", "MAINPID": "77", "STATUS": "supervising"}
    manager.tell("words", "STOPPING=1")
    assert listener.hear() == {"STOPPING": "1", "STATUS": "words"}
    assert manager.due == math.inf, "nobody asked for a watchdog"


def test_the_variables_are_taken_out_of_the_environment() -> None:
    environ = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "77", "HOME": "/"}
    manager = ServiceManager(environ, 77)
    assert environ == {"HOME": "/"}
    assert manager.variables == {
        "NOTIFY_SOCKET": "/nowhere",
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": "77",
    }
    assert manager.ping_seconds == 1.0
    manager.tell("nobody listens")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "78"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "-3000000"},
        {"WATCHDOG_USEC": ""},
    ],
)
def test_a_watchdog_that_is_not_ours(variables: dict[str, str]) -> None:
    assert ServiceManager({"NOTIFY_SOCKET": "@x", **variables}, 77).ping_seconds == 0.0


def test_without_a_manager_nothing_is_done() -> None:
    manager = ServiceManager({"WATCHDOG_USEC": "3000000"}, 77)
    manager.ready(0.0, "supervising")
    assert manager.due == math.inf
    assert manager.beat(1e9) is Beat.NOTHING


def test_the_watchdog_is_answered_only_when_the_supervisor_has(listener: Listener) -> None:
    manager = manager_of(listener, WATCHDOG_USEC="30000000")
    manager.ready(100.0, "supervising")
    listener.hear()
    listener.socket.settimeout(0)
    assert manager.beat(100.0) is Beat.ASK
    with pytest.raises(BlockingIOError):
        listener.hear()
    manager.answered(100.5)
    assert listener.hear() == {"WATCHDOG": "1"}
    assert manager.beat(110.4) is Beat.NOTHING
    assert manager.beat(110.5) is Beat.ASK
    manager.answered(110.6)
    manager.answered(110.7)
    assert listener.hear() == {"WATCHDOG": "1"}
    with pytest.raises(BlockingIOError):
        listener.hear()


def test_a_silent_supervisor_is_late_once_after_a_third_and_a_little(listener: Listener) -> None:
    manager = manager_of(listener, WATCHDOG_USEC="30000000")
    manager.ready(100.0, "supervising")
    assert manager.beat(100.0) is Beat.ASK
    assert manager.beat(109.9) is Beat.NOTHING
    # We may have been stopped, too: the answer is given a moment to be read.
    assert manager.beat(500.0) is Beat.NOTHING
    assert manager.due == 500.0 + GRACE_SECONDS
    assert manager.beat(501.0) is Beat.LATE
    assert manager.beat(1e9) is Beat.NOTHING
    manager.ready(600.0, "supervising again")
    assert manager.beat(600.0) is Beat.ASK


def test_no_supervisor_no_answer(listener: Listener) -> None:
    manager = manager_of(listener, WATCHDOG_USEC="30000000")
    manager.ready(100.0, "supervising")
    manager.beat(100.0)
    manager.pause()
    assert manager.beat(1e9) is Beat.NOTHING


def test_a_keeper_tells_its_life(listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", listener.path)
    monkeypatch.setenv("WATCHDOG_USEC", "600000")
    with SupervisedKeeper(tmp_path) as keeper:
        link = keeper.accept()
        ready = listener.hear_until("READY")
        assert ready["MAINPID"] == str(keeper.process.pid)
        assert str(link.pid) in ready["STATUS"]
        link.expect(messages.Ping)
        link.send(messages.Pong())
        assert listener.hear() == {"WATCHDOG": "1"}
        child = link.spawn("g:a", SLEEP).pid
        for pid in (child, link.pid):
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"NOTIFY_SOCKET" not in environ
            assert b"WATCHDOG" not in environ
        # It is asked again, does not answer, and is replaced; nobody else is touched.
        link.expect(messages.Ping)
        eventually(lambda: not is_alive(link.pid))
        assert "is killed: it has not answered for 0.2 s" in keeper.said()
        assert "was killed by SIGKILL" in listener.hear_until("STATUS")["STATUS"]
        link = keeper.accept()
        listener.hear_until("READY")
        assert is_alive(child)
        keeper.process.send_signal(signal.SIGTERM)
        assert "SIGTERM" in listener.hear_until("STOPPING")["STATUS"]
