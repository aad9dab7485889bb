"""A fleet on loopback in a folder of its own: certificates, agents, a controller; ended without a trace."""

import contextlib
import ipaddress
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOSTS = 5
BIN = Path(sys.executable).parent
PROGRAMS = Path(__file__).parent / "programs"
FLEET = "demo"

AGENT_CONFIG = """\
[supervisord]
logfile={folder}/activity.log
pidfile={folder}/agent.pid
childlogdir={folder}
silent=true

[fleet]
host_id={host}
listen={address}:0
certificate={pki}/{host}.crt
key={pki}/{host}.key
ca={pki}/ca.crt

[program:web]
command={python} {programs}/app.py
environment=ADDRESS="{address}",PORT="{port}"
autorestart=true

[program:worker]
command={python} {programs}/worker.py
process_name=%(program_name)s_%(process_num)02d
numprocs=3
startsecs=0

[program:logger]
command={python} {programs}/logger.py
stdout_logfile={folder}/logger.log
stdout_logfile_maxbytes=1MB

[program:crasher]
command={python} {programs}/crasher.py
startretries=1

[program:stubborn]
command={python} {programs}/stubborn.py
stopwaitsecs=2
"""

CONTROLLER_CONFIG = """\
[controller]
listen = "{address}:0"
fleet = "{fleet}"
name = "controller-1"
inventory = "inventory.toml"
state_dir = "controller"

[tls]
certificate = "{pki}/controller-1.crt"
key = "{pki}/controller-1.key"
ca = "{pki}/ca.crt"
"""

CLIENT_CONFIG = """\
controller = "{address}"
controller_name = "controller-1"
fleet = "{fleet}"
certificate = "{pki}/you.crt"
key = "{pki}/you.key"
ca = "{pki}/ca.crt"
"""


class DemoFailed(Exception):
    """A step did not turn out as it must."""


def wait_until(is_there: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Wait for a condition.

    Raises: DemoFailed after the deadline.
    """
    deadline = time.monotonic() + seconds
    while not is_there():
        if time.monotonic() > deadline:
            raise DemoFailed(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)


class Fleet:
    """Owns the folder and every process of one demo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pki = folder / "pki"
        self.client_config = folder / "fleetctl.toml"
        self.hosts = [f"host{number}" for number in range(1, HOSTS + 1)]
        self.addresses = dict(zip(self.hosts, free_addresses(HOSTS), strict=True))
        self.web_ports = dict(zip(self.hosts, web_ports(list(self.addresses.values())), strict=True))
        self._agents: dict[str, subprocess.Popen[bytes]] = {}
        self._controller: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the certificates, start agents and controller, wait until each has told its address."""
        self.fleetctl("pki", "init", "--fleet", FLEET, "--dir", str(self.pki))
        self._issue("controller", "controller-1")
        self._issue("user", "you")
        for host in self.hosts:
            self._issue("agent", host)
            self._start_agent(host)
        self._write_inventory()
        self._start_controller()

    def fleetctl(self, *arguments: str, expect: tuple[int, ...] = (0,)) -> str:
        """The output of one fleetctl command.

        Raises: DemoFailed when it ends with another code than expected.
        """
        done = subprocess.run(
            [str(BIN / "fleetctl"), *arguments],
            env={**os.environ, "FLEETCTL_CONFIG": str(self.client_config)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode not in expect:
            command = " ".join(["fleetctl", *arguments])
            raise DemoFailed(f"`{command}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def rows(self, host: str) -> dict[str, Any]:
        """The processes of a host by `group:name`, as its own agent tells them."""
        answer = json.loads(
            self.fleetctl("status", "--state-dir", str(self.state_dir(host)), "-o", "json", expect=(0, 3))
        )
        return {f"{row['group']}:{row['name']}": row for row in answer["hosts"][0]["processes"]}

    def state_dir(self, host: str) -> Path:
        """Where an agent keeps its state."""
        return self.folder / host / "state"

    def supervisor_pid(self, host: str) -> int:
        """The pid of the supervisor: the keeper's child that runs the supervisor's program."""
        children = Path(f"/proc/{self._agents[host].pid}/task/{self._agents[host].pid}/children")
        for pid in children.read_text().split():
            if b"supervisor/main.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
        raise DemoFailed(f"{host} has no supervisor")

    def end(self) -> None:
        """End everything: agents stop their children first."""
        processes = [process for process in [self._controller, *self._agents.values()] if process is not None]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def survivors(self) -> list[int]:
        """The pids of processes that still use the demo's folder."""
        mark = os.fsencode(str(self.folder))
        pids = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                try:
                    if mark in (entry / "cmdline").read_bytes() or mark in os.fsencode(
                        os.readlink(entry / "fd/1")
                    ):
                        pids.append(int(entry.name))
                except OSError:
                    continue
        return pids

    def _issue(self, role: str, name: str) -> None:
        self.fleetctl("pki", "issue", role, name, "--dir", str(self.pki), "--out", str(self.pki))

    def _start_agent(self, host: str) -> None:
        folder = self.folder / host
        folder.mkdir()
        config = folder / "agent.conf"
        config.write_text(
            AGENT_CONFIG.format(
                folder=folder,
                host=host,
                address=self.addresses[host],
                port=self.web_ports[host],
                pki=self.pki,
                python=sys.executable,
                programs=PROGRAMS,
            )
        )
        self._agents[host] = self._launch(
            folder / "stderr",
            "fleet-agent",
            "run",
            "-c",
            str(config),
            "--state-dir",
            str(self.state_dir(host)),
        )

    def _write_inventory(self) -> None:
        lines = []
        for number, host in enumerate(self.hosts, 1):
            endpoint = self._endpoint(self.state_dir(host) / "endpoint.json", self._agents[host])
            group = "blue" if number % 2 else "green"
            lines.append(f'[hosts.{host}]\naddress = "{endpoint["grpc"]}"\ngroups = ["{group}"]\n')
        (self.folder / "inventory.toml").write_text("\n".join(lines))

    def _start_controller(self) -> None:
        config = self.folder / "controller.toml"
        config.write_text(
            CONTROLLER_CONFIG.format(address=next(iter(self.addresses.values())), fleet=FLEET, pki=self.pki)
        )
        self._controller = self._launch(
            self.folder / "controller.log", "fleet-controller", "run", "--config", str(config)
        )
        endpoint = self._endpoint(self.folder / "controller" / "endpoint.json", self._controller)
        self.client_config.write_text(
            CLIENT_CONFIG.format(address=endpoint["address"], fleet=FLEET, pki=self.pki)
        )

    def _launch(self, output: Path, command: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with output.open("wb") as file:
            # A session of its own: Ctrl-C is for the demo, which ends everything in order.
            return subprocess.Popen(
                [str(BIN / command), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self.folder,
                start_new_session=True,
            )

    def _endpoint(self, path: Path, process: "subprocess.Popen[bytes]") -> dict[str, Any]:
        def is_there() -> bool:
            if process.poll() is not None:
                logs = [file.read_text(errors="replace") for file in self.folder.glob("*/stderr")]
                raise DemoFailed(f"{process.args!r} ended with {process.returncode}:\n{''.join(logs)}")
            return path.exists()

        wait_until(is_there, f"{path.name} of {path.parent.parent.name}")
        endpoint: dict[str, Any] = json.loads(path.read_text())
        return endpoint


def free_addresses(count: int) -> list[str]:
    """Addresses of a 127.x.y subnet that nobody uses; 127.0.0.1 again and again where there are no others."""
    for _ in range(50):
        # Not the first subnets, which people use by hand.
        subnet = ipaddress.ip_network(f"127.{random.randint(20, 250)}.{random.randint(1, 254)}.0/24")
        addresses = [str(subnet[number]) for number in range(1, count + 1)]
        try:
            if web_ports(addresses) == [8000] * count:
                return addresses
        except OSError:
            continue
    return ["127.0.0.1"] * count


def web_ports(addresses: list[str]) -> list[int]:
    """A port for each address: 8000 where each host has its own, else any that are free together."""
    with contextlib.ExitStack() as held:
        ports = []
        for address in addresses:
            probe = held.enter_context(socket.socket())
            try:
                probe.bind((address, 8000))
            except OSError:
                probe.bind((address, 0))
            ports.append(probe.getsockname()[1])
        return ports
