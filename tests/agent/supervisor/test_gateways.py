"""The port is held and kept; one gateway at a time; keys that others may read are refused."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fleet_agent.supervisor.gateways as room
import pytest
from fakes.loop_turns import turn, turn_until
from fleet_agent.config.settings import FleetSettings
from fleet_agent.link.messages import GatewayEnded, StartGateway
from fleet_agent.supervisor.attendance import START_SECONDS
from fleet_agent.supervisor.gateways import Gateways
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.sessions import Session
from fleet_api.errors import BadRequest, Conflict, Denied, FleetError
from fleet_api.frames import Decoder, Frame, encode

PLAIN = FleetSettings(listen="127.0.0.1:0", insecure_plaintext=True)


class Handler:
    """Answers everything."""

    def handle(self, session: Session, number: int, verb: str, arguments: Frame) -> None:
        session.answer(number, {"actor": session.actor, "is_gateway": session.is_gateway})


class Started:
    """A gateway that was asked for, its descriptors as it would inherit them."""

    def __init__(self, message: StartGateway, fds: list[int]) -> None:
        self.argv = message.argv
        self.link = socket.socket(fileno=os.dup(fds[0]))
        self.port = socket.socket(fileno=os.dup(fds[1]))

    def listen(self) -> socket.socket:
        """As gRPC does: a socket of its own beside the one that is held, and of the same user."""
        own = socket.socket(self.port.family)
        os.fchown(own.fileno(), os.fstat(self.port.fileno()).st_uid, -1)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind(self.port.getsockname())
        own.listen()
        return own

    def close(self) -> None:
        self.link.close()
        self.port.close()


class World:
    """A supervisor's gateways, and those that were started."""

    def __init__(self, folder: Path, settings: FleetSettings = PLAIN) -> None:
        self.folder = folder
        self.loop = Loop(time.monotonic)
        self.said: list[str] = []
        self.troubles: list[str] = []
        self.started: list[Started] = []
        self.addresses: list[str] = []
        self.gateways = Gateways(
            self.loop,
            settings,
            str(folder / "port"),
            self._start,
            self.said.append,
            self._addressed,
            self.troubles.append,
        )

    def _start(self, message: StartGateway, fds: list[int]) -> None:
        self.started.append(Started(message, fds))

    def _addressed(self) -> None:
        self.addresses.append(self.gateways.address)

    def open(self, is_first: bool = True) -> None:
        self.gateways.reserve(is_first)
        self.gateways.open(Handler())

    @property
    def port(self) -> int:
        return int(self.gateways.address.rpartition(":")[2])

    def end(self, pid: int = 50, status: int = 0) -> None:
        self.gateways.on_ended(GatewayEnded(pid, status), self.loop.now())

    def close(self) -> None:
        self.gateways.close()
        for started in self.started:
            started.close()


Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    worlds: list[World] = []

    def make_world(settings: FleetSettings = PLAIN) -> World:
        worlds.append(World(tmp_path, settings))
        return worlds[-1]

    yield make_world
    for world in worlds:
        world.close()


def test_without_an_address_there_is_no_gateway(make: Make) -> None:
    world = make(FleetSettings())
    world.open()
    turn(world.loop)
    assert (world.started, world.gateways.address, world.said) == ([], "", [])


def test_a_gateway_gets_its_link_and_its_port(make: Make) -> None:
    world = make()
    world.open()
    (started,) = world.started
    assert started.argv[1:4] == ["-P", "-X", "no_debug_ranges"]
    assert started.argv[4].endswith("gateway/main.py")
    assert started.argv[5:] == ["--link-fd", "3", "--port-fd", "4"]
    assert world.addresses == [world.gateways.address]
    assert started.port.getsockname() == ("127.0.0.1", world.port)
    started.link.sendall(encode({"id": 1, "do": "hello"}))
    started.link.setblocking(False)
    heard: list[Frame] = []

    def has_heard() -> bool:
        try:
            heard.extend(Decoder().feed(started.link.recv(10_000)))
        except BlockingIOError:
            return False
        return True

    turn_until(world.loop, has_heard)
    assert heard == [{"id": 1, "ok": {"actor": "gateway", "is_gateway": True}}]


def test_gateways_listen_beside_the_held_port_and_strangers_do_not(make: Make) -> None:
    world = make()
    world.open()
    old, new = world.started[0].listen(), world.started[0].listen()
    for reuses in (False, True):
        stranger = socket.socket()
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuses)
        with pytest.raises(OSError, match="Address already in use"):
            stranger.bind(("127.0.0.1", world.port))
            stranger.listen()
        stranger.close()
    old.close()
    new.close()
    # Also while no gateway lives.
    for reuses in (False, True):
        with socket.socket() as stranger, pytest.raises(OSError, match="Address already in use"):
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuses)
            stranger.bind(("127.0.0.1", world.port))


def test_a_port_that_is_held_takes_no_connection(make: Make) -> None:
    world = make()
    world.open()
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", world.port))


@pytest.mark.parametrize("reuses", [False, True])
def test_a_strangers_listener_is_told_at_the_first_start(make: Make, reuses: bool) -> None:
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuses)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        world = make(PLAIN._replace(listen=f"127.0.0.1:{port}"))
        with pytest.raises(Conflict, match=f"listen: 127.0.0.1:{port} cannot be bound: Address already"):
            world.open()
        assert world.started == []


@pytest.mark.parametrize("listen", ["192.0.2.1:0", "nowhere.invalid:0"])
def test_an_address_of_another_host_is_told(make: Make, listen: str) -> None:
    with pytest.raises(Conflict, match="cannot be bound"):
        make(PLAIN._replace(listen=listen)).open()


def test_a_later_supervisor_waits_for_the_port(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "QUICK_TRIES", 3)
    monkeypatch.setattr(room, "SLOW_RETRY_SECONDS", 0.1)
    with socket.socket() as old_gateway:
        old_gateway.bind(("127.0.0.1", 0))
        old_gateway.listen()
        port = old_gateway.getsockname()[1]
        world = make(PLAIN._replace(listen=f"127.0.0.1:{port}"))
        world.open(is_first=False)
        turn_until(world.loop, lambda: world.said)
        assert (world.started, world.gateways.address) == ([], "")
        assert len(world.said) == 1
        assert world.said[0].startswith(f"no gateway: [fleet] listen: 127.0.0.1:{port} cannot be bound")
    turn_until(world.loop, lambda: world.started)
    assert world.addresses == [f"127.0.0.1:{port}"]
    assert len(world.said) == 1


def test_a_chosen_port_is_kept_by_the_next_supervisor(make: Make) -> None:
    first = make()
    first.open()
    port = first.port
    first.close()
    second = make()
    second.open(is_first=False)
    turn_until(second.loop, lambda: second.started)
    assert second.port == port


def test_what_connections_leave_in_the_kernel_is_no_obstacle(make: Make) -> None:
    first = make()
    first.open()
    listener = first.started[0].listen()
    client = socket.create_connection(("127.0.0.1", first.port))
    served, _ = listener.accept()
    # Whoever closes first keeps the address in TIME_WAIT.
    served.close()
    assert client.recv(1) == b""
    client.close()
    listener.close()
    port = first.port
    first.close()
    second = make(PLAIN._replace(listen=f"127.0.0.1:{port}"))
    second.open()
    assert second.port == port
    second.started[0].listen().close()


def port_file(port: int, version: int = 1) -> str:
    return json.dumps({"version": version, "port": port})


def test_a_chosen_port_that_was_taken_meanwhile_is_given_up_at_a_start(make: Make, tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        (tmp_path / "port").write_text(port_file(taken))
        world = make()
        world.open()
        assert world.port != taken
    assert (tmp_path / "port").read_text() == port_file(world.port)


def test_a_chosen_port_that_is_lost_to_a_stranger_is_given_up_in_the_end(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "QUICK_TRIES", 3)
    monkeypatch.setattr(room, "SLOW_RETRY_SECONDS", 0.05)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        (tmp_path / "port").write_text(port_file(taken))
        world = make()
        world.open(is_first=False)
        assert world.started == []
        turn_until(world.loop, lambda: world.started)
        assert world.port != taken


@pytest.mark.parametrize(
    "content", ["", "x", "7601", "[]", "{}", port_file(-7), port_file(99999), port_file(7601, version=9)]
)
def test_a_broken_port_file_is_no_obstacle(make: Make, tmp_path: Path, content: str) -> None:
    (tmp_path / "port").write_text(content)
    world = make()
    world.open()
    assert world.port > 0


def test_a_port_file_that_cannot_be_written_is_told(make: Make, tmp_path: Path) -> None:
    (tmp_path / "port").mkdir()
    world = make()
    world.open()
    assert world.said == [f"could not write {tmp_path}/port: Is a directory"]
    assert len(world.started) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives its socket away")
def test_the_port_belongs_to_the_user_of_the_gateway(make: Make) -> None:
    world = make(PLAIN._replace(gateway_user="nobody"))
    world.open()
    assert os.fstat(world.started[0].port.fileno()).st_uid == 65534


def test_an_unknown_user_is_told_and_holds_no_port(make: Make) -> None:
    world = make(PLAIN._replace(gateway_user="no-such-user"))
    with pytest.raises(BadRequest, match="gateway_user: there is no user 'no-such-user'"):
        world.open()
    assert not (world.folder / "port").exists()


# ------------------------------------------------------------------------------------------ lives


def test_a_gateway_that_dies_young_is_started_again_after_longer_and_longer_pauses(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = make()
    pauses: list[float] = []
    after = world.loop.after

    def note(seconds: float, action: Callable[[], None]) -> Any:
        pauses.append(seconds)
        return after(0.0, action)

    monkeypatch.setattr(world.loop, "after", note)
    world.open()
    for number in range(8):
        world.gateways.pid = 50 + number
        world.end(50 + number, signal.SIGKILL)
        turn_until(world.loop, lambda count=number + 2: len(world.started) == count)  # type: ignore[misc]
    assert [pause for pause in pauses if pause not in {0.01, START_SECONDS}] == [
        0.1,
        0.2,
        0.4,
        0.8,
        1.6,
        3.2,
        5.0,
        5.0,
    ]
    assert world.said[0] == "gateway 50 ended (terminated by SIGKILL); starting it again in 0.1 s"


def test_a_gateway_that_lived_long_enough_is_started_again_at_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MIN_LIFE_SECONDS", 0.0)
    world = make()
    world.open()
    world.gateways.pid = 50
    world.end(50, 3 << 8)
    turn(world.loop)
    assert world.said == ["gateway 50 ended (exit status 3); starting it again"]
    assert len(world.started) == 2
    assert world.gateways.pid == 0


def test_one_that_could_not_be_started_is_tried_again(make: Make) -> None:
    world = make()
    world.open()
    world.end(0, 127 << 8)
    assert world.said == ["the gateway could not be started; starting it again in 0.1 s"]
    turn_until(world.loop, lambda: len(world.started) == 2)


def test_the_end_of_an_older_one_changes_nothing(make: Make) -> None:
    world = make()
    world.open()
    world.end(49)
    world.gateways.pid = 50
    world.end(49)
    turn(world.loop)
    assert (world.said, world.gateways.pid, len(world.started)) == ([], 50, 1)


def test_a_gateway_whose_link_broke_and_that_stays_is_replaced(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEAVING_SECONDS", 0.05)
    world = make()
    world.open()
    world.gateways.pid = 50
    world.started[0].link.sendall(b"\xff\xff\xff\xff garbage")
    turn_until(world.loop, lambda: len(world.started) == 2)
    assert world.said == ["gateway 50 has lost its link and does not leave; replacing it"]


def test_a_gateway_that_gives_up_its_link_and_leaves_is_started_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEAVING_SECONDS", 0.2)
    monkeypatch.setattr(room, "MIN_LIFE_SECONDS", 0.0)
    world = make()
    world.open()
    world.gateways.pid = 50
    world.started[0].link.close()
    turn(world.loop)
    world.end(50)
    turn_until(world.loop, lambda: len(world.started) == 2)
    world.gateways.pid = 51
    time_over = []
    world.loop.after(0.4, lambda: time_over.append(True))
    turn_until(world.loop, lambda: time_over)
    assert len(world.started) == 2


def test_closing_ends_its_link_and_frees_the_port(make: Make) -> None:
    world = make()
    world.open()
    (started,) = world.started
    port = world.port
    world.gateways.close()
    assert started.link.recv(1) == b""
    started.port.close()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", port))


# ---------------------------------------------------------------------------------------- secrets


def pem_settings(folder: Path) -> FleetSettings:
    for name in ("certificate", "key", "ca"):
        (folder / name).write_text(f"the {name}")
        (folder / name).chmod(0o600 if name == "key" else 0o644)
    return FleetSettings(
        listen="127.0.0.1:0",
        certificate=str(folder / "certificate"),
        key=str(folder / "key"),
        ca=str(folder / "ca"),
    )


def test_the_gateway_is_told_what_it_may_not_read(make: Make, tmp_path: Path) -> None:
    world = make(pem_settings(tmp_path))
    world.open()
    configuration = world.gateways.configuration("host-1", "supervisor")
    user = configuration.pop("user")
    assert configuration == {
        "host_id": "host-1",
        "listen": world.gateways.address,
        "insecure_plaintext": False,
        "certificate": "the certificate",
        "key": "the key",
        "ca": "the ca",
        "identifier": "supervisor",
    }
    assert user == ({"uid": 65534, "gid": 65534} if os.geteuid() == 0 else None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
def test_a_key_that_others_may_use_is_refused_by_name(make: Make, tmp_path: Path, mode: int) -> None:
    world = make(pem_settings(tmp_path))
    (tmp_path / "key").chmod(mode)
    with pytest.raises(Denied, match=f"key {tmp_path}/key has mode 0{mode:o}") as caught:
        world.open()
    assert caught.value.hint == f"chmod 600 {tmp_path}/key"
    assert world.started == []


@pytest.mark.parametrize("name", ["certificate", "key", "ca"])
def test_a_file_that_is_not_there_is_told_by_name(make: Make, tmp_path: Path, name: str) -> None:
    world = make(pem_settings(tmp_path))
    (tmp_path / name).unlink()
    with pytest.raises(FleetError, match=f"{tmp_path}/{name}.*No such file"):
        world.open()


def test_a_key_that_is_opened_to_others_later_is_not_handed_out(make: Make, tmp_path: Path) -> None:
    world = make(pem_settings(tmp_path))
    world.open()
    (tmp_path / "key").chmod(0o644)
    with pytest.raises(Denied):
        world.gateways.configuration("host-1", "supervisor")


def test_secrets_that_come_later_are_waited_for(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "QUICK_TRIES", 2)
    monkeypatch.setattr(room, "SLOW_RETRY_SECONDS", 0.05)
    world = make(pem_settings(tmp_path))
    (tmp_path / "key").chmod(0o644)
    world.open(is_first=False)
    turn_until(world.loop, lambda: world.said)
    assert "others than its owner can read it" in world.said[0]
    (tmp_path / "key").chmod(0o600)
    turn_until(world.loop, lambda: world.started)


# ---------------------------------------------------------------------------- why there is none


EXPIRED = Denied("CERTIFICATE_EXPIRED", "certificate of agent/web1 expired 3 d ago", "issue a new one")


def test_why_a_gateway_cannot_serve_is_told_once_and_so_is_its_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "REFUSED_PAUSE_SECONDS", 0.01)
    world = make()
    world.open()
    for number in range(3):
        world.gateways.pid = 50
        world.gateways.on_serving(EXPIRED)
        assert world.gateways.problem == f"{EXPIRED.message} ({EXPIRED.hint})"
        world.end(50, 1 << 8)
        turn_until(world.loop, lambda count=number + 2: len(world.started) == count)  # type: ignore[misc]
    world.gateways.on_serving(None)
    assert world.gateways.problem == ""
    assert world.said == [
        f"no gateway: {EXPIRED.message} ({EXPIRED.hint})",
        f"a gateway serves {world.gateways.address} again",
    ]


def test_one_that_serves_and_dies_is_told_as_before(make: Make) -> None:
    world = make()
    world.open()
    world.gateways.pid = 50
    world.gateways.on_serving(None)
    world.end(50, signal.SIGKILL)
    assert world.said == ["gateway 50 ended (terminated by SIGKILL); starting it again in 0.1 s"]


@pytest.mark.parametrize("there", [("fleet-agent", "nobody"), ("nobody",)])
def test_a_user_of_its_own_is_preferred(
    make: Make, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
) -> None:
    def look_up(name: str) -> Any:
        if name not in there:
            raise KeyError(name)
        return SimpleNamespace(pw_uid=os.geteuid(), pw_gid=len(name))

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("pwd.getpwnam", look_up)
    monkeypatch.setattr(os, "fchown", lambda *_: None)
    world = make()
    world.open()
    assert world.gateways.configuration("web1", "")["user"]["gid"] == len(there[0])
