"""A real gateway process on 127.0.0.1, a fake supervisor at the other end of its link, and ways to ask it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fleet_agent
import grpc
import pytest
from fakes.certificates import Files, Pki
from fakes.supervisor import FakeSupervisor
from fleet_api import channel, status_codes, wire
from fleet_api.errors import FleetError
from fleet_api.rows import ProcessRow
from fleet_api.v1 import agent_pb2, types_pb2
from fleet_api.v1.agent_pb2_grpc import AgentServiceStub
from google.protobuf.duration_pb2 import Duration

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


def selector(*terms: str) -> types_pb2.ProcessSelector:
    return types_pb2.ProcessSelector(terms=terms)


def listed(stub: AgentServiceStub, *terms: str) -> dict[str, str]:
    """The states of the matching processes by name."""
    request = agent_pb2.ListProcessesRequest(selector=selector(*terms))
    return {
        process.name: wire.state_from_proto(process.state)
        for response in stub.ListProcesses(request, timeout=SECONDS)
        for process in response.processes
    }


def refusal(call: Callable[[], Any]) -> FleetError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return status_codes.from_rpc_error(raised.value)


class Watcher:
    """One Watch call, read on demand."""

    def __init__(
        self, stub: Any, after: types_pb2.Position | None = None, interval: float | None = None
    ) -> None:
        request = agent_pb2.WatchRequest(after=after)
        if interval is not None:
            request.heartbeat_interval.CopyFrom(Duration(nanos=int(interval * 1e9)))
        self.call = stub.Watch(request, timeout=SECONDS)

    def next(self, kind: str, skip: tuple[str, ...] = ("heartbeat",)) -> Any:
        """The next body of this kind; only kinds in `skip` may come before it."""
        for response in self.call:
            found = response.WhichOneof("body")
            if found == kind:
                return getattr(response, found)
            assert found in skip, f"{found} instead of {kind}: {response}"
        raise AssertionError("the stream ended")

    def close(self) -> None:
        self.call.cancel()
