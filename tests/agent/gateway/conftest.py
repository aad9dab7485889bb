"""Real gateway processes with real mTLS on 127.0.0.1, and a fake supervisor at the other end of the link."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fleet_agent
import grpc
import pytest
from fakes import certificates
from fakes.certificates import Files, Pki
from fakes.supervisor import FakeSupervisor, make_row
from fleet_api import channel
from fleet_api.rows import ProcessRow
from fleet_api.v1.agent_pb2_grpc import AgentServiceStub

MAIN = os.path.join(os.path.dirname(str(fleet_agent.__file__)), "gateway", "main.py")
SECONDS = 20


class RunningGateway:
    """One gateway process, its supervisor, and the way in."""

    def __init__(
        self,
        supervisor: FakeSupervisor,
        files: Pki | None,
        folder: Path,
        process: subprocess.Popen[bytes],
        port: int,
    ) -> None:
        self.supervisor = supervisor
        self.files = files
        self.folder = folder
        self.process = process
        self.port = port
        self._channels: list[grpc.Channel] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def channel(self, who: Files | None = None) -> grpc.Channel:
        if self.files is None:
            opened = channel.open_blocking_channel(self.address, None, "")
        else:
            credentials = (who or self.files.operator).load()
            opened = channel.open_blocking_channel(self.address, credentials, "web1.agent.test")
        self._channels.append(opened)
        return opened

    def stub(self, who: Files | None = None) -> AgentServiceStub:
        return AgentServiceStub(self.channel(who))

    def stderr(self) -> str:
        return (self.folder / "stderr").read_text()

    def wait_until_listening(self) -> None:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the gateway ended with {self.process.returncode}: {self.stderr()}")
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                # Never listening while nothing but the reservation holds the port.
                time.sleep(0.02)
                continue
            return
        raise AssertionError(f"the gateway does not listen: {self.stderr()}")

    def end(self) -> None:
        for opened in self._channels:
            opened.close()
        self.supervisor.end()
        try:
            self.process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(SECONDS)


def reserve_port() -> socket.socket:
    """As the supervisor does: bound alone first, then open to be shared, never listening."""
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    reserved.bind(("127.0.0.1", 0))
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


Launch = Callable[..., RunningGateway]


def launch_gateway(
    folder: Path,
    files: Pki | None,
    rows: list[ProcessRow],
    changes: dict[str, Any] | None = None,
    prepare: Callable[[FakeSupervisor], None] = lambda supervisor: None,
    wait: bool = True,
) -> RunningGateway:
    """Start a gateway; `changes` are made to its configuration, `prepare` may make its supervisor rude."""
    folder.mkdir(parents=True, exist_ok=True)
    reserved = reserve_port()
    port = reserved.getsockname()[1]
    configuration: dict[str, Any] = {
        "host_id": "web1",
        "listen": f"127.0.0.1:{port}",
        "insecure_plaintext": files is None,
        "certificate": "",
        "key": "",
        "ca": "",
        "user": None,
        "identifier": "supervisor",
    }
    if files is not None:
        agent = files.agents["web1"]
        configuration["certificate"] = Path(agent.certificate).read_text()
        configuration["key"] = Path(agent.key).read_text()
        configuration["ca"] = Path(agent.ca).read_text()
    supervisor = FakeSupervisor(rows, {**configuration, **(changes or {})})
    prepare(supervisor)
    arguments = [sys.executable, "-P", MAIN, "--link-fd", str(supervisor.theirs.fileno())]
    arguments += ["--port-fd", str(reserved.fileno())]
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=[supervisor.theirs.fileno(), reserved.fileno()],
        )
    # Subtle: while this process held the other end, the link would not end with the gateway.
    supervisor.theirs.close()
    reserved.close()
    supervisor.start()
    gateway = RunningGateway(supervisor, files, folder, process, port)
    if wait:
        try:
            gateway.wait_until_listening()
        except BaseException:
            gateway.end()
            raise
    return gateway


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return certificates.make(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def launch(tmp_path: Path, pki: Pki) -> Iterator[Launch]:
    """Starts gateways and ends them after the test."""
    started: list[RunningGateway] = []

    def start(
        rows: list[ProcessRow] | None = None, plaintext: bool = False, **options: Any
    ) -> RunningGateway:
        rows = [make_row("web")] if rows is None else rows
        folder = tmp_path / f"gateway-{len(started)}"
        gateway = launch_gateway(folder, None if plaintext else pki, rows, **options)
        started.append(gateway)
        return gateway

    yield start
    for gateway in started:
        gateway.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, pki: Pki) -> Iterator[RunningGateway]:
    """One gateway for the tests of a module that leave it as they found it."""
    rows = [
        make_row("web"),
        make_row("one", "workers"),
        make_row("two", "workers", state="STOPPED", uptime=None),
    ]
    gateway = launch_gateway(tmp_path_factory.mktemp("shared"), pki, rows)
    yield gateway
    gateway.end()
