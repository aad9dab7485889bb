"""The door lets in whom it may, as many as it may, and outlives all of them."""

import errno
import os
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fleet_agent.supervisor.door as room
import pytest
from fakes.loop_turns import turn, turn_until
from fakes.rude_client import RudeClient
from fleet_agent.supervisor.door import Door, user_name
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.sessions import Session
from fleet_api.frames import Frame


class Handler:
    """Answers who asks; `stay` is never answered."""

    def handle(self, session: Session, number: int, verb: str, arguments: Frame) -> None:
        if verb == "stay":
            session.begin_stream(number, lambda: None)
            return
        session.answer(number, {"actor": session.actor, "is_gateway": session.is_gateway})


class World:
    """A door and those who knock."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "door.sock"
        self.said: list[str] = []
        self.reported: list[str] = []
        self.loop = Loop(time.monotonic)
        self.door = Door(
            self.loop,
            str(self.path),
            Handler(),
            self.said.append,
            self.reported.append,
            None,
            lambda *_: None,
        )
        self.clients: list[RudeClient] = []

    def knock(self) -> RudeClient:
        sock = socket.socket(socket.AF_UNIX)
        folder = os.open(self.path.parent, os.O_PATH)
        sock.connect(f"/proc/self/fd/{folder}/{self.path.name}")
        os.close(folder)
        client = RudeClient(sock, self.loop)
        self.clients.append(client)
        return client

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.door.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_its_own_user_is_let_in_by_name(world: World) -> None:
    (answer,) = world.knock().ask({"id": 1, "do": "who"})
    assert answer["ok"] == {"actor": user_name(os.getuid()), "is_gateway": False}


def test_nobody_else_may_even_connect(world: World) -> None:
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600


def test_another_user_is_told_why_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "uid_of_peer", lambda connection: 54321)
    client = world.knock()
    (answer,) = client.ask({"id": 1, "do": "who"})
    assert (answer["id"], answer["error"]["code"]) == (0, "DOOR_NOT_ALLOWED")
    assert "54321 may not use" in answer["error"]["message"]
    client.wait_for_end()
    assert world.said == ["door: refused 54321 (uid 54321)"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_peer_is_known_by_its_uid(world: World) -> None:
    world.path.chmod(0o666)
    for folder in world.path.parents:
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(0o755)
    script = (
        "import os, socket\n"
        "os.setuid(65534)\n"
        f"s = socket.socket(socket.AF_UNIX); s.connect({str(world.path)!r})\n"
        "print(s.recv(1000))"
    )
    reading, writing = os.pipe()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-S", "-c", script],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_CLOSE, reading)],
    )
    os.close(writing)
    os.set_blocking(reading, False)
    heard = bytearray()

    def has_heard() -> bool:
        try:
            heard.extend(os.read(reading, 1000))
        except BlockingIOError:
            return False
        return b"DOOR_NOT_ALLOWED" in heard

    turn_until(world.loop, has_heard)
    os.close(reading)
    os.waitpid(pid, 0)


def test_so_many_are_served_and_one_more_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_SESSIONS", 64)
    inside = []
    for number in range(64):
        client = world.knock()
        client.ask({"id": number, "do": "who"})
        client.say({"id": 100, "do": "stay"})
        inside.append(client)
    for _ in range(10):
        late = world.knock()
        assert late.hear(1)[0]["error"]["code"] == "TOO_MANY_SESSIONS"
        late.wait_for_end()
    inside[0].sock.close()
    turn(world.loop)
    assert world.knock().ask({"id": 1, "do": "who"})[0]["id"] == 1
    assert inside[-1].ask({"id": 2, "do": "who"})[0]["id"] == 2


def test_who_waits_for_nothing_makes_room(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_SESSIONS", 3)
    busy, first, second = world.knock(), world.knock(), world.knock()
    for client in (busy, first, second):
        client.ask({"id": 1, "do": "who"})
    busy.say({"id": 2, "do": "stay"})
    assert world.knock().ask({"id": 1, "do": "who"})[0]["id"] == 1
    first.wait_for_end()
    assert busy.ask({"id": 3, "do": "who"})[0]["id"] == 3
    assert second.ask({"id": 3, "do": "who"})[0]["id"] == 3


def test_who_comes_and_leaves_at_once_leaves_nothing(world: World) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(300):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(world.path))
        if number % 3 == 0:
            sock.send(b"\x00\x00\x01")
        sock.close()
        turn(world.loop)
    turn_until(world.loop, lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert world.knock().ask({"id": 1, "do": "who"})[0]["id"] == 1
    assert world.said == []


def test_without_descriptors_it_rests_and_opens_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ACCEPT_PAUSE_SECONDS", 0.2)
    listener = world.door._socket
    failures = iter([OSError(errno.EMFILE, "Too many open files")])

    class Full:
        def fileno(self) -> int:
            return listener.fileno()

        def close(self) -> None:
            listener.close()

        def accept(self) -> object:
            for failure in failures:
                raise failure
            return listener.accept()

    monkeypatch.setattr(world.door, "_socket", Full())
    client = world.knock()
    client.say({"id": 1, "do": "who"})
    turn(world.loop)
    turn(world.loop)
    assert client.hear(1)[0]["id"] == 1
    assert world.reported == ["cannot take a connection: Too many open files; fleetctl waits", ""]
    assert world.said == []


def test_closing_ends_all_sessions_and_takes_the_socket_away(world: World) -> None:
    client = world.knock()
    client.ask({"id": 1, "do": "who"})
    world.door.close()
    client.wait_for_end()
    assert not world.path.exists()
    world.door = Door(
        world.loop,
        str(world.path),
        Handler(),
        world.said.append,
        world.reported.append,
        None,
        lambda *_: None,
    )


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    first = socket.socket(socket.AF_UNIX)
    first.bind(str(tmp_path / "door.sock"))
    first.close()
    world = World(tmp_path)
    assert world.knock().ask({"id": 1, "do": "who"})[0]["id"] == 1
    world.close()


def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20) / ("longer" * 20)
    folder.mkdir(parents=True)
    world = World(folder)
    assert world.path.is_socket()
    assert stat.S_IMODE(world.path.stat().st_mode) == 0o600
    assert world.knock().ask({"id": 1, "do": "who"})[0]["id"] == 1
    world.close()
    assert not world.path.exists()
