"""Clients that are silent, talk garbage, vanish or have no business here: all others are served as before."""

import os
import select
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import grpc
import pytest
from fakes import certificates
from fakes.certificates import Files
from fakes.ports import free_port
from fleet_api import channel, identity, status_codes
from fleet_api.credentials import Credentials
from fleet_api.errors import FleetError
from fleet_api.frames import encode
from fleet_api.identity import Role
from fleet_api.v1 import agent_pb2, agent_pb2_grpc, controller_pb2
from real.agent import RealAgent, alive, program
from real.fleet import CONTROLLER, RealFleet, fleet_section, loopback, run
from real.processes import resident_bytes
from real.rudeness import ATTACKS, crowd
from real.waiting import wait_for

HOST = "web1"
CROWD = 300
PROGRAMS = (
    f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\nautorestart=true\n"
    f"[program:chatty]\ncommand={program('lines', 'chatty', 0, 0.01)}\nstartsecs=0\n"
)


class Witness:
    """Looks whether an agent goes on as if nothing had happened."""

    def __init__(self, agent: RealAgent) -> None:
        self._agent = agent
        self._chatty = agent.wait_state("chatty", "RUNNING")["pid"]
        self._hello = agent.hello()

    def testify(self) -> None:
        """Nobody died, whoever asks is answered, and a crash is still acted on."""
        agent = self._agent
        hello = agent.hello()
        for pid in ("pid", "supervisor_pid", "gateway_pid"):
            assert hello[pid] == self._hello[pid], f"{pid}: {agent.said()}"
        assert agent.row("chatty")["pid"] == self._chatty
        assert agent.row("chatty")["run"] == 1
        web = agent.wait_state("web", "RUNNING")
        os.kill(web["pid"], signal.SIGKILL)
        wait_for(lambda: agent.row("web"), lambda row: row["run"] > web["run"] and row["pid"] > 0, 5)


# ---------------------------------------------------------------- the local door


def knock(agent: RealAgent, data: bytes = b"") -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Through a descriptor: the path may be longer than a socket address.
    folder = os.open(agent.state_dir / "run", os.O_PATH | os.O_DIRECTORY)
    try:
        connection.connect(f"/proc/self/fd/{folder}/door.sock")
    finally:
        os.close(folder)
    connection.sendall(data)
    return connection


def request(do: str, **arguments: object) -> bytes:
    return encode({"id": 1, "do": do, **arguments})


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


WORDS = {
    "silence": b"",
    "garbage": b"\xfe" * 5000,
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "half a length": b"\0\0",
    "half a frame": request("status", terms=[])[:-5],
    "a huge length": b"\x7f\xff\xff\xff{",
    "a length of nothing": b"\0\0\0\0",
    "no json": framed(b"{nonsense"),
    "no utf-8": framed(b'{"id": 1, "do": "\xff"}'),
    "no object": framed(b"[1, 2, 3]"),
    "deep json": framed(b'{"id":1,"do":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "no verb": encode({"id": 1}),
    "no id": encode({"do": "status"}),
    "an unknown verb": request("explode"),
    "wrong arguments": request("status", terms={"all": 1}),
    "no targets": request("operate", verb="stop", terms=[]),
    "an unknown operation": request("operate", verb="eat", terms=["all"]),
    "a wrong context": request("operate", verb="stop", terms=["nobody"], context=[]),
    "a wrong position": request("watch", after="yesterday"),
    "an unknown log": request("open_log", process="nobody", stream="stdmiddle"),
    "a foreign configuration": request("configure"),
}


@contextmanager
def agent_of(folder: Path) -> Iterator[RealAgent]:
    with RealAgent(folder, PROGRAMS) as agent:
        yield agent


def test_rude_words_at_the_door(tmp_path: Path) -> None:
    with agent_of(tmp_path) as agent:
        witness = Witness(agent)
        with ExitStack() as held:
            for word in WORDS.values():
                # One leaves at once, one stays.
                knock(agent, word).close()
                held.enter_context(knock(agent, word))
            witness.testify()
            assert run("fleetctl", "status", "--state-dir", str(agent.state_dir)).code == 0


def test_a_crowd_at_the_door_that_says_nothing(tmp_path: Path) -> None:
    with agent_of(tmp_path) as agent:
        witness = Witness(agent)
        with ExitStack() as held:
            watcher = held.enter_context(agent.door())
            changes = watcher.stream("watch", timeout_seconds=10)
            next(changes)
            for word in (b"", b"\0\0", request("ping")):
                for _ in range(CROWD):
                    held.enter_context(knock(agent, word))
            witness.testify()
            assert run("fleetctl", "status", "--state-dir", str(agent.state_dir)).code == 0
            # Whoever was there first and waits for something has not been sent away.
            assert "event" in next(item for item, _ in changes if "event" in item)


def test_a_client_of_the_door_that_never_reads(tmp_path: Path) -> None:
    with agent_of(tmp_path) as agent:
        witness = Witness(agent)
        supervisor = agent.hello()["supervisor_pid"]
        before = resident_bytes(supervisor)
        asked = request("status", terms=[]) * 1000
        with knock(agent) as greedy:
            greedy.setblocking(False)
            # Until the agent takes no more of its requests for a while.
            quiet_since = time.monotonic()
            left = b""
            while time.monotonic() < quiet_since + 1:
                left = left or asked
                try:
                    left = left[greedy.send(left) :]
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    # Not select(): it knows no descriptor beyond 1024.
                    poller = select.poll()
                    poller.register(greedy, select.POLLOUT)
                    poller.poll(100)
            assert run("fleetctl", "status", "--state-dir", str(agent.state_dir)).code == 0
            assert resident_bytes(supervisor) - before < 64 * 1024 * 1024
        witness.testify()


def open_files(pid: int) -> list[str]:
    """What a process has open."""
    targets = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            targets.append(os.readlink(entry))
    return sorted(targets)


def test_clients_of_the_door_that_vanish_in_mid_stream(tmp_path: Path) -> None:
    with agent_of(tmp_path) as agent:
        witness = Witness(agent)
        # Once everything has been started and has a log.
        witness.testify()
        supervisor = agent.hello()["supervisor_pid"]
        before = len(open_files(supervisor))
        for _ in range(50):
            for word in (
                request("watch", after=None),
                request("follow_log", process="chatty", stream="stdout"),
                request("operate", verb="restart", terms=["web"], wait=True),
            ):
                knock(agent, word).close()
        witness.testify()
        wait_for(
            lambda: open_files(supervisor), lambda now: len(now) <= before + 3, what="nothing stays open"
        )


# ---------------------------------------------------------------- the ports


def status_is_right(fleet: RealFleet) -> None:
    done = fleet.ctl("status", "-H", HOST, "-o", "json")
    assert done.code == 0, done
    rows = {row["name"]: row["state"] for row in done.host(HOST)["processes"]}
    assert rows == {"web": "RUNNING", "chatty": "RUNNING"}


@contextmanager
def stub_of(address: str, files: Files, host: str) -> Iterator[agent_pb2_grpc.AgentServiceStub]:
    """An agent as the holder of these files would call it, whatever our own side thinks of them."""
    name = identity.make("test", Role.AGENT, host).dns_name
    texts = [Path(path).read_bytes() for path in (files.certificate, files.key, files.ca)]
    credentials = Credentials(texts[0], texts[1], texts[2], files.identity)
    with closing(channel.open_blocking_channel(address, credentials, name)) as opened:
        yield agent_pb2_grpc.AgentServiceStub(opened)


@pytest.mark.timeout(120)
def test_rude_clients_of_both_ports(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {HOST: PROGRAMS}) as fleet:
        agent = fleet.agents[HOST]
        port = agent.endpoint()["grpc"]
        witness = Witness(agent)
        operator = fleet.pki.operator
        for attack in ATTACKS.values():
            with crowd(attack, 20, port, operator), crowd(attack, 20, fleet.controller.address, operator):
                with stub_of(port, operator, HOST) as stub:
                    assert stub.GetAgent(agent_pb2.GetAgentRequest(), timeout=10).host_id == HOST
                assert fleet.reachability() == {HOST: "CONNECTED"}
        witness.testify()
        status_is_right(fleet)


def test_crowds_at_both_ports(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {HOST: PROGRAMS}) as fleet:
        agent = fleet.agents[HOST]
        port = agent.endpoint()["grpc"]
        witness = Witness(agent)
        silence, operator = ATTACKS["silence"], fleet.pki.operator
        with crowd(silence, CROWD, port, operator), crowd(silence, CROWD, fleet.controller.address, operator):
            with stub_of(port, operator, HOST) as stub:
                assert stub.GetAgent(agent_pb2.GetAgentRequest(), timeout=10).host_id == HOST
            status_is_right(fleet)
            witness.testify()


def first(stream: Iterable[object]) -> object:
    """The first message; the stream stays open."""
    return next(iter(stream), None)


def test_callers_that_vanish_in_mid_stream(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {HOST: PROGRAMS}) as fleet:
        agent = fleet.agents[HOST]
        port = agent.endpoint()["grpc"]
        witness = Witness(agent)
        log = agent_pb2.ReadLogRequest(process="chatty", stream=agent_pb2.ReadLogRequest.STDOUT, follow=True)
        fleet_log = controller_pb2.ReadFleetLogRequest(process="chatty", stream=log.stream, follow=True)
        fleet_log.hosts.expression = HOST
        for _ in range(10):
            with stub_of(port, fleet.pki.operator, HOST) as stub:
                for _ in range(5):
                    assert first(stub.Watch(agent_pb2.WatchRequest())) is not None
                    assert first(stub.ReadLog(log)) is not None
            with fleet.stub() as controller:
                for _ in range(5):
                    assert first(controller.ReadFleetLog(fleet_log)) is not None
        witness.testify()
        status_is_right(fleet)

        def readers() -> int:
            """Log files that the supervisor was asked for and still follows."""
            folder = Path(f"/proc/{agent.hello()['gateway_pid']}/fd")
            return sum(".log" in os.readlink(entry) for entry in folder.iterdir())

        if os.geteuid() == 0:
            wait_for(readers, lambda count: count == 0, what="no log stays open")


# ---------------------------------------------------------------- who may call


def refusal(call: object, *arguments: object) -> FleetError:
    with pytest.raises(grpc.RpcError) as failed:
        call(*arguments, timeout=10)  # type: ignore[operator]
    return status_codes.from_rpc_error(failed.value)


def test_who_may_not_command(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {HOST: PROGRAMS, "web2": ""}) as fleet:
        agent = fleet.agents[HOST]
        port = agent.endpoint()["grpc"]
        witness = Witness(agent)
        stop = agent_pb2.OperateRequest(verb=agent_pb2.OperateRequest.STOP)
        stop.selector.terms.append("all")
        # Another agent, with a good certificate of the same authority.
        with stub_of(port, fleet.pki.agents["web2"], HOST) as stub:
            assert refusal(stub.Operate, stop).code in {"ROLE_NOT_ALLOWED", "AGENT_UNAVAILABLE"}
        # Parties of another authority that call themselves the same, and an operator whose time is over.
        others = certificates.make(tmp_path / "others", [HOST])
        for files in (
            others.operator,
            others.controller,
            others.operator._replace(ca=fleet.pki.ca),
            fleet.pki.issue(Role.OPERATOR, "bob", days=1, now=time.time() - 5 * 86400),
        ):
            with stub_of(port, files, HOST) as stub:
                assert refusal(stub.Operate, stop).code == "AGENT_UNAVAILABLE"
        with stub_of(port, fleet.pki.operator, HOST) as stub:
            assert stub.GetAgent(agent_pb2.GetAgentRequest(), timeout=10).host_id == HOST
        for files, code in ((fleet.pki.agents["web2"], 9), (others.operator, 4)):
            fleet.write_client_config(files)
            for command in (("status", "--all-hosts"), ("stop", "all", "-H", HOST)):
                done = fleet.ctl(*command)
                assert done.code == code, done
                assert done.err.startswith("error: ")
                assert "certificate" in done.err
                assert done.out == ""
        # What strangers try is no line of the log.
        assert "ssl_transport" not in fleet.controller.log.read_text() + agent.said()
        witness.testify()


def test_keys_that_others_may_read_are_refused_by_name(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {HOST: PROGRAMS}) as fleet:
        pki = fleet.pki
        os.chmod(pki.operator.key, 0o644)
        done = fleet.ctl("status", "--all-hosts")
        assert done.code == 9
        assert pki.operator.key in done.err
        assert "0644" in done.err

        os.chmod(pki.controller.key, 0o640)
        other = tmp_path / "other.toml"
        other.write_text(fleet.controller.config.read_text())
        done = run("fleet-controller", "run", "--config", str(other))
        assert done.code == 2
        assert pki.controller.key in done.err
        assert "0640" in done.err

        files = pki.issue(Role.AGENT, "web2")
        os.chmod(files.key, 0o604)
        config = tmp_path / "other.conf"
        mark = tmp_path / "started"
        config.write_text(
            f"[supervisord]\nlogfile={tmp_path}/other.log\npidfile={tmp_path}/other.pid\nchildlogdir={tmp_path}\n"
            f"{fleet_section('web2', files, '127.0.0.1')}[program:touch]\ncommand=touch {mark}\n"
        )
        done = run("fleet-agent", "run", "-c", str(config), "--state-dir", str(tmp_path / "other"))
        assert done.code == 2
        assert files.key in done.err
        assert "0604" in done.err
        assert not mark.exists()


# ---------------------------------------------------------------- who is there already


def test_a_second_agent_on_one_state_folder(tmp_path: Path) -> None:
    with agent_of(tmp_path) as agent:
        witness = Witness(agent)
        for _ in range(2):
            done = run("fleet-agent", "run", "-c", str(agent.config), "--state-dir", str(agent.state_dir))
            assert done.code == 2
            assert f"pid {agent.hello()['pid']}" in done.err
            assert str(agent.state_dir) in done.err
        witness.testify()


def test_a_port_in_use(tmp_path: Path) -> None:
    pki = certificates.make(tmp_path / "pki", [HOST])
    mark = tmp_path / "started"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        section = fleet_section(HOST, pki.agents[HOST], "127.0.0.1").replace("127.0.0.1:0", address)
        config = tmp_path / "agent.conf"
        config.write_text(
            f"[supervisord]\nlogfile={tmp_path}/a.log\npidfile={tmp_path}/a.pid\nchildlogdir={tmp_path}\n"
            f"{section}[program:touch]\ncommand=touch {mark}\n"
        )
        done = run("fleet-agent", "run", "-c", str(config), "--state-dir", str(tmp_path / "state"))
        assert done.code == 2
        assert address in done.err
        assert "listen" in done.err
        assert not mark.exists()

        folder = tmp_path / "controller"
        folder.mkdir()
        (folder / "inventory.toml").write_text("[hosts]\n")
        files = pki.controller
        (folder / "controller.toml").write_text(
            f'[controller]\nlisten = "{address}"\nfleet = "test"\nname = "{CONTROLLER}"\n'
            'inventory = "inventory.toml"\nstate_dir = "state"\n'
            f'[tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\nca = "{files.ca}"\n'
        )
        done = run("fleet-controller", "run", "--config", str(folder / "controller.toml"))
        assert done.code == 1
        assert address in done.err
        assert "listen" in done.err


def test_a_port_that_is_taken_while_the_agent_is_down(tmp_path: Path) -> None:
    """Supervision goes on without a gateway, which comes as soon as the port is free."""
    fleet = RealFleet(tmp_path, {HOST: PROGRAMS})
    agent = fleet.agents[HOST]
    port = free_port(loopback(1))
    agent.config.write_text(agent.config.read_text().replace(f"{loopback(1)}:0", port))
    with fleet:
        pid = agent.wait_state("chatty", "RUNNING")["pid"]
        hello = agent.hello()
        assert agent.keeper is not None
        for part in ("pid", "supervisor_pid", "gateway_pid"):
            os.kill(hello[part], signal.SIGKILL)
        agent.keeper.wait()
        host, _, number = port.rpartition(":")
        stranger = socket.socket()
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with stranger:
            wait_for(lambda: _binds(stranger, host, int(number)), what="the port is free")
            stranger.listen()
            agent.start()
            assert agent.row("chatty")["pid"] == pid
            assert alive(pid)
        wait_for(
            lambda: fleet.ctl("status", "-H", HOST), lambda done: done.code == 0, 30, "the gateway is back"
        )
        status_is_right(fleet)


def _binds(sock: socket.socket, host: str, port: int) -> bool:
    try:
        sock.bind((host, port))
    except OSError:
        return False
    return True
