"""A real fleet in a folder of its own: agents and a controller with mutual TLS, and fleetctl to ask them."""

import functools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from fakes import certificates
from fakes.certificates import Files, Pki
from fleet_api import channel, identity
from fleet_api.identity import Role
from fleet_api.v1 import controller_pb2, controller_pb2_grpc
from real.agent import RealAgent
from real.waiting import wait_for

BIN = Path(sys.executable).parent
CONTROLLER = "main"
IMPATIENT = {"heartbeat": 0.8, "connect_timeout": 1.0}
"""Settings of a controller that finds out soon who has fallen silent; units: seconds."""


class Done(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    def host(self, name: str) -> Any:
        """What `-o json` says of one host."""
        return next(host for host in self.json["hosts"] if host["host"] == name)


def run(
    *arguments: str, environ: Mapping[str, str] | None = None, answer: str | None = None, seconds: float = 60
) -> Done:
    """Run one of the project's commands to its end; without `answer` its standard input is empty."""
    done = subprocess.run(
        [str(BIN / arguments[0]), *arguments[1:]],
        env={**os.environ, **(environ or {})},
        input=(answer or "").encode(),
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@functools.cache
def loopback(number: int) -> str:
    """One of the addresses 127.20.0.x; 127.0.0.1 where there is no other."""
    address = f"127.20.0.{number}"
    try:
        with socket.create_server((address, 0)):
            return address
    except OSError:
        return "127.0.0.1"


def fleet_section(host: str, files: Files, address: str) -> str:
    """The section that gives an agent its TCP door; any free port."""
    return (
        f"[fleet]\nhost_id={host}\nlisten={address}:0\n"
        f"certificate={files.certificate}\nkey={files.key}\nca={files.ca}\n"
    )


class RealController:
    """Starts and ends one controller."""

    def __init__(self, folder: Path, pki: Pki, settings: Mapping[str, object]) -> None:
        self.folder = folder
        self._settings = settings
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "controller.toml"
        self.inventory = folder / "inventory.toml"
        self.log = folder / "controller.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._files = pki.controller
        self._fleet = pki.fleet

    def write_config(self) -> None:
        """Write the configuration."""
        section = {
            "listen": f"127.0.0.1:{self._port}",
            "fleet": self._fleet,
            "name": CONTROLLER,
            "inventory": str(self.inventory),
            "state_dir": str(self.folder / "state"),
            **self._settings,
        }
        tls = {"certificate": self._files.certificate, "key": self._files.key, "ca": self._files.ca}
        text = "[controller]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in section.items())
        text += "[tls]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in tls.items())
        self.config.write_text(text)

    def start(self) -> None:
        """Start it and wait until it listens; a second start listens where the first one did."""
        self.write_config()
        endpoint = self.folder / "state" / "endpoint.json"
        endpoint.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(BIN / "fleet-controller"), "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(endpoint.exists, lambda there: there or self._has_ended(), 30, "the controller listens")
        assert endpoint.exists(), self.log.read_text()
        self._port = int(json.loads(endpoint.read_text())["address"].rpartition(":")[2])

    def _has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Ask it to leave; a second time if it takes long."""
        if self.process is None or self.process.poll() is not None:
            return
        for _ in range(2):
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
                return
            except subprocess.TimeoutExpired:
                continue
        self.kill()


class RealFleet:
    """Agents by host name, a controller and an operator; a context manager that leaves no process behind.

    `configs` are the sections of each host, besides those that make it part of the fleet; `settings` are
    further keys of the controller's configuration.
    """

    def __init__(
        self,
        folder: Path,
        configs: Mapping[str, str],
        groups: Mapping[str, Sequence[str]] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        self.folder = folder
        self.pki = certificates.make(folder / "pki", list(configs), CONTROLLER)
        self.groups = groups or {}
        self.controller = RealController(folder / "controller", self.pki, settings or {})
        self.client_config = folder / "fleetctl.toml"
        self.agents = {
            host: RealAgent(
                folder / host, fleet_section(host, self.pki.agents[host], loopback(number)) + config
            )
            for number, (host, config) in enumerate(configs.items(), 1)
        }

    def __enter__(self) -> Self:
        try:
            for agent in self.agents.values():
                agent.launch()
            for agent in self.agents.values():
                agent.wait_up()
            self.write_inventory(self.agents)
            self.controller.start()
            self.write_client_config(self.pki.operator)
            self.wait_connected()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        if error is not None:
            sys.stderr.write(f"--- controller:\n{self.controller.log.read_text()}\n")
            for host, agent in self.agents.items():
                sys.stderr.write(f"--- {host}:\n{agent.said()}\n{agent.activity()}\n")

    def _end(self) -> None:
        self.controller.end()
        for agent in self.agents.values():
            agent.ask_to_end()
        for agent in self.agents.values():
            agent.end()

    def write_inventory(self, hosts: Iterable[str]) -> None:
        """Name these hosts to the controller, at the addresses where their agents listen."""
        lines = []
        for host in hosts:
            groups = [group for group, members in self.groups.items() if host in members]
            lines.append(
                f'[hosts.{host}]\naddress = "{self.agents[host].endpoint()["grpc"]}"\n'
                f"groups = {json.dumps(groups)}\n"
            )
        new = self.controller.inventory.with_suffix(".new")
        new.write_text("".join(lines) or "[hosts]\n")
        new.replace(self.controller.inventory)

    def write_client_config(self, files: Files) -> None:
        """Let fleetctl be this party from now on."""
        settings = {
            "controller": self.controller.address,
            "controller_name": CONTROLLER,
            "fleet": self.pki.fleet,
            "certificate": files.certificate,
            "key": files.key,
            "ca": files.ca,
        }
        text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        self.client_config.write_text(text)

    @property
    def environ(self) -> dict[str, str]:
        """What fleetctl needs to find the controller."""
        return {"FLEETCTL_CONFIG": str(self.client_config)}

    def ctl(self, *arguments: str, answer: str | None = None) -> Done:
        """Run fleetctl against the controller, or with --state-dir against an agent."""
        return run("fleetctl", *arguments, environ=self.environ, answer=answer)

    @contextmanager
    def stub(self) -> Iterator[controller_pb2_grpc.ControllerServiceStub]:
        """The controller as the operator's own program would call it."""
        name = identity.make(self.pki.fleet, Role.CONTROLLER, CONTROLLER).dns_name
        with closing(
            channel.open_blocking_channel(self.controller.address, self.pki.operator.load(), name)
        ) as opened:
            yield controller_pb2_grpc.ControllerServiceStub(opened)

    def reachability(self) -> dict[str, str]:
        """The state of each host as the controller tells it: CONNECTED and so on."""
        request = controller_pb2.ListHostsRequest(hosts=controller_pb2.HostSelector(all_hosts=True))
        with self.stub() as stub:
            hosts = [host for response in stub.ListHosts(request, timeout=10) for host in response.hosts]
        return {host.name: controller_pb2.Reachability.State.Name(host.reachability.state) for host in hosts}

    def wait_connected(self, *hosts: str, seconds: float = 30.0) -> None:
        """Wait until the controller is connected to these hosts; without names, to all."""
        wanted = set(hosts or self.agents)
        wait_for(
            self.reachability,
            lambda seen: all(seen.get(host) == "CONNECTED" for host in wanted),
            seconds,
            f"connected to {sorted(wanted)}",
        )
