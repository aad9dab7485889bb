"""A whole controller in this process, with real TLS, for tests that talk to it as operators do."""

import asyncio
import contextlib
import io
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
from fakes import certificates
from fakes.agent import FakeAgent
from fakes.certificates import Files, Pki
from fleet_api import channel, identity, status_codes
from fleet_api.credentials import Credentials
from fleet_api.errors import FleetError
from fleet_api.identity import Role
from fleet_api.v1 import controller_pb2, controller_pb2_grpc
from fleet_controller import config, main
from fleet_controller.inventory import InventoryFile
from fleet_controller.log import Log
from fleet_controller.store import StateDir

DEADLINE_SECONDS = 20.0


def write_config(
    folder: Path, pki: Pki, hosts: Mapping[str, str], *, plaintext: bool = False, **settings: Any
) -> Path:
    """A configuration for these hosts (name: address), with quick times unless `settings` say otherwise."""
    chosen = {
        "listen": "127.0.0.1:0",
        "fleet": pki.fleet,
        "name": pki.controller.identity.name,
        "inventory": "inventory.toml",
        "state_dir": "state",
        "host_timeout": 5.0,
        "connect_timeout": 1.0,
        "heartbeat": 0.4,
        **settings,
    }
    lines = ["[controller]", *(f"{key} = {json.dumps(value)}" for key, value in chosen.items()), "[tls]"]
    files = pki.controller
    if plaintext:
        lines.append("insecure_plaintext = true")
    else:
        lines += [f"{key} = {json.dumps(getattr(files, key))}" for key in ("certificate", "key", "ca")]
    path = folder / "controller.toml"
    path.write_text("\n".join(lines) + "\n")
    write_inventory(folder, hosts)
    return path


def write_inventory(folder: Path, hosts: Mapping[str, str], extra: str = "") -> None:
    """Put the inventory in the place of the old one at once, as editors do."""
    text = "".join(f'[hosts."{name}"]\naddress = "{address}"\n' for name, address in hosts.items())
    beside = folder / "inventory.toml.new"
    beside.write_text(text + extra)
    beside.rename(folder / "inventory.toml")


class Controller:
    """A running controller and the operator's channel to it."""

    def __init__(self, address: str, pki: Pki, log: io.StringIO, asked: main.Asked) -> None:
        self.address = address
        self.asked = asked
        self._server_name = identity.make(pki.fleet, Role.CONTROLLER, pki.controller.identity.name).dns_name
        self._log = log
        self.channel = self.open_channel(pki.operator)
        self.stub = controller_pb2_grpc.ControllerServiceStub(self.channel)

    @property
    def log(self) -> str:
        return self._log.getvalue()

    def open_channel(self, files: Files) -> grpc.aio.Channel:
        return channel.open_channel(self.address, files.load(), self._server_name)

    def open_unchecked_channel(self, files: Files) -> grpc.aio.Channel:
        """A channel with credentials that do not fit together; the server is to judge them."""
        certificate, key, ca = (Path(path).read_bytes() for path in (files.certificate, files.key, files.ca))
        return channel.open_channel(
            self.address, Credentials(certificate, key, ca, files.identity), self._server_name
        )

    @staticmethod
    def error_of(error: grpc.aio.AioRpcError) -> FleetError:
        return status_codes.from_rpc_error(error)

    async def status(
        self, expression: str = "", *terms: str, at_least: Any = ()
    ) -> dict[str, list[controller_pb2.HostStatus]]:
        """The messages of each host; every host when there is no expression."""
        request = controller_pb2.GetStatusRequest(hosts=selector(expression), at_least=at_least)
        request.selector.terms.extend(terms)
        answer: dict[str, list[controller_pb2.HostStatus]] = {}
        async for message in self.stub.GetStatus(request, timeout=DEADLINE_SECONDS):
            answer.setdefault(message.host, []).append(message)
        return answer

    async def wait_for_status(
        self, host: str, is_right: Callable[[controller_pb2.HostStatus], object]
    ) -> controller_pb2.HostStatus:
        """The first status of a host that is right."""
        until = time.monotonic() + DEADLINE_SECONDS
        while True:
            message = (await self.status(host))[host][0]
            if is_right(message):
                return message
            if time.monotonic() > until:
                raise AssertionError(f"still {message}\n{self.log}")
            await asyncio.sleep(0.02)

    async def wait_until_connected(self, *hosts: str) -> None:
        for host in hosts:
            await self.wait_for_status(host, lambda message: message.bucket == controller_pb2.HostOutcome.OK)

    async def operate(
        self, request: controller_pb2.OperateFleetRequest
    ) -> dict[str, controller_pb2.HostOutcome]:
        return {
            message.host: message
            async for message in self.stub.OperateFleet(request, timeout=DEADLINE_SECONDS)
        }


async def wait_until(condition: Callable[[], object]) -> None:
    """Return once the condition holds."""
    until = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < until, "it did not come to that"
        await asyncio.sleep(0.01)


def selector(expression: str) -> controller_pb2.HostSelector:
    """These hosts, or all."""
    return controller_pb2.HostSelector(expression=expression, all_hosts=not expression)


@contextlib.asynccontextmanager
async def running(
    folder: Path, pki: Pki, hosts: Mapping[str, str], **settings: Any
) -> AsyncIterator[Controller]:
    """A controller of these hosts (name: address), gone at the end of the block."""
    settings_ = config.load(write_config(folder, pki, hosts, **settings))
    file = InventoryFile(settings_.inventory, settings_.fleet)
    store = StateDir(settings_.state_dir)
    store.lock()
    log = io.StringIO()
    asked = main.Asked()
    credentials = main.load_credentials(settings_)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(
            main.serve(settings_, credentials, file.read(), file, store, Log(log), asked)
        )
        try:
            address = await _endpoint(settings_.state_dir / "endpoint.json", serving)
            controller = Controller(address, pki, log, asked)
            yield controller
            await controller.channel.close(None)
        finally:
            asked.leave.set()
            asked.hurry.set()
    store.close()


@contextlib.asynccontextmanager
async def one_host(
    folder: Path, count: int = 2, **settings: Any
) -> AsyncIterator[tuple[FakeAgent, Controller]]:
    """The smallest fleet: one agent, web1, with `count` processes, and its controller, connected."""
    pki = certificates.make(folder / "pki")
    async with (
        FakeAgent("web1", pki.agents["web1"], count=count) as agent,
        running(folder, pki, {"web1": agent.address}, **settings) as controller,
    ):
        await controller.wait_until_connected("web1")
        yield agent, controller


async def _endpoint(path: Path, serving: "asyncio.Task[int]") -> str:
    until = time.monotonic() + DEADLINE_SECONDS
    while (address := read_endpoint(path)) is None:
        assert not serving.done() and time.monotonic() < until, "the controller did not come up"
        await asyncio.sleep(0.01)
    return address


def read_endpoint(path: Path) -> str | None:
    """The address in an endpoint file; None while there is none."""
    return str(json.loads(path.read_text())["address"]) if path.exists() else None
