"""The command `fleet-controller`: `run --config FILE` and `check FILE`.

The composition root: the only place that builds real objects.
Exit codes: 0 all well, 1 it could not run, 2 the command line or a file is wrong.
"""

import argparse
import asyncio
import contextlib
import os
import random
import resource
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# gRPC reads this when it is imported; its own lines, one a refused handshake, would stand between ours.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc.aio
from fleet_api import channel, tls
from fleet_api.admission import Admission, Door
from fleet_api.credentials import Credentials
from fleet_api.errors import BadRequest, Conflict, Denied, FleetError, NotFound
from fleet_api.identity import Role
from fleet_api.v1 import controller_pb2, controller_pb2_grpc
from fleet_api.version import VERSION
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fleet_controller import config, inventory
from fleet_controller.config import Config
from fleet_controller.dispatch import Dispatch
from fleet_controller.inventory import InventoryFile
from fleet_controller.log import Log
from fleet_controller.model import Inventory, Moment
from fleet_controller.relay import Relay
from fleet_controller.service import ControllerService
from fleet_controller.sessions import Sessions
from fleet_controller.state import FleetState
from fleet_controller.store import StateDir
from fleet_controller.trees import Trees

DRAIN_SECONDS = 10.0
MAX_CONNECTIONS = 4000
MAX_CALLS = 5000
LOOK_SECONDS = 1.0
"""How often the inventory file is looked at."""

SERVICE_NAME = controller_pb2.DESCRIPTOR.services_by_name["ControllerService"].full_name


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "check":
            return check(Path(arguments.file))
        return run(Path(arguments.config))
    except FleetError as error:
        sys.stderr.write(_told(error))
        return 2 if isinstance(error, BadRequest | Denied | NotFound) else 1
    except ExceptionGroup as group:
        failures = group.subgroup(FleetError)
        if failures is None:
            raise
        for failure in failures.exceptions:
            sys.stderr.write(f"fleet-controller: {failure}\n")
        return 1


def check(path: Path) -> int:
    """Report every problem of the configuration, its certificates and its inventory."""
    problems: list[FleetError] = []
    try:
        settings = config.load(path)
    except BadRequest as error:
        problems.append(error)
    else:
        for look in (load_credentials, load_inventory):
            try:
                look(settings)
            except FleetError as error:
                problems.append(error)
    for problem in problems:
        sys.stderr.write(_told(problem))
    if not problems:
        sys.stdout.write(f"{path}: no problems\n")
    return 2 if problems else 0


def run(path: Path) -> int:
    """Run the controller until SIGTERM or SIGINT."""
    settings = config.load(path)
    credentials = load_credentials(settings)
    file = InventoryFile(settings.inventory, settings.fleet)
    hosts = file.read()
    store = StateDir(settings.state_dir)
    store.lock()
    try:
        return asyncio.run(_serve_until_signalled(settings, credentials, hosts, file, store))
    finally:
        store.close()


async def _serve_until_signalled(
    settings: Config, credentials: Credentials | None, hosts: Inventory, file: InventoryFile, store: StateDir
) -> int:
    asked = Asked()
    asked.listen_to_signals()
    return await serve(settings, credentials, hosts, file, store, Log(), asked)


def load_credentials(settings: Config) -> Credentials | None:
    """This controller's certificate, checked to be one of this controller of this fleet; None for plaintext.

    Raises: Denied, NotFound, BadRequest.
    """
    files = settings.tls
    if files is None:
        return None
    credentials = tls.load(str(files.certificate), str(files.key), str(files.ca), time.time())
    holder = credentials.identity
    if (holder.fleet, holder.role, holder.name) != (settings.fleet, Role.CONTROLLER, settings.name):
        raise Denied(
            "WRONG_CERTIFICATE",
            f"{files.certificate} is for {holder} of fleet {holder.fleet}; {settings.path} is for"
            f" controller/{settings.name} of fleet {settings.fleet}",
            "issue one with `fleetctl pki issue`, or correct fleet and name",
        )
    return credentials


def load_inventory(settings: Config) -> Inventory:
    """The inventory that the configuration names.

    Raises: BadRequest BAD_INVENTORY.
    """
    return inventory.load(settings.inventory, settings.fleet)


async def serve(
    settings: Config,
    credentials: Credentials | None,
    hosts: Inventory,
    file: InventoryFile,
    store: StateDir,
    log: Log,
    asked: "Asked",
) -> int:
    """Build the rooms, open the door, and stay until asked to leave."""
    dice = random.SystemRandom().random
    state = FleetState(lambda: Moment(time.monotonic(), time.time()))
    sessions = Sessions(state, credentials, settings, dice, log)
    dispatch = Dispatch(sessions, time.monotonic, dice, log)
    relay = Relay(sessions, time.monotonic, dice, log)
    trees = Trees(sessions, time.monotonic, log)
    epoch = store.next_epoch()
    door = Door(settings.fleet if credentials else None, frozenset({Role.OPERATOR}))
    service = ControllerService(
        settings, door, state, dispatch, relay, trees, epoch, lambda: str(uuid.uuid4())
    )
    server, vital_signs = _server(service, Admission(door, lambda *what: _call_failed(log, *what)))
    address = _open_door(server, settings, credentials)
    async with asyncio.TaskGroup() as rooms:
        tasks = []
        for room in (sessions, dispatch, relay):
            is_ready = asyncio.Event()
            tasks.append(rooms.create_task(room.run(is_ready), name=type(room).__name__))
            await is_ready.wait()
        sessions.adopt(hosts)
        await server.start()
        await vital_signs.set(SERVICE_NAME, health_pb2.HealthCheckResponse.SERVING)
        store.write_endpoint(address)
        log.info("listening", address=address, fleet=settings.fleet, epoch=epoch, version=VERSION)
        if credentials is None:
            log.warning("no TLS: anybody who reaches this port may command the fleet", address=address)
        watching = rooms.create_task(_follow_inventory(file, sessions, asked, log), name="inventory")
        await asked.leave.wait()
        log.info("leaving", reason=asked.reason)
        watching.cancel()
        await vital_signs.enter_graceful_shutdown()
        end = time.monotonic() + DRAIN_SECONDS
        await _drain(server, relay, asked)
        dispatch.leave()
        await asyncio.wait(tasks[1:], timeout=0 if asked.hurry.is_set() else max(0.0, end - time.monotonic()))
        for task in tasks:
            task.cancel()
    log.info("left")
    return 0


async def _drain(server: grpc.aio.Server, relay: Relay, asked: "Asked") -> None:
    """Take nothing new, let what runs come to its end; a second signal cuts it short."""
    relay.leave()
    async with asyncio.TaskGroup() as tasks:
        stopping = tasks.create_task(server.stop(DRAIN_SECONDS))
        hurry = tasks.create_task(asked.hurry.wait())
        await asyncio.wait((stopping, hurry), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await server.stop(0)
        hurry.cancel()


async def _follow_inventory(file: InventoryFile, sessions: Sessions, asked: "Asked", log: Log) -> None:
    """Read the inventory again on SIGHUP and when its file changed; a broken one changes nothing."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await asked.reload.wait()
        if not asked.reload.is_set() and not file.has_changed():
            continue
        asked.reload.clear()
        try:
            sessions.adopt(file.read())
        except BadRequest as error:
            log.error("inventory not read; the old one stays", reason=error.message)


class Asked:
    """What the process was asked to do: to leave, to hurry, to read the inventory again."""

    def __init__(self) -> None:
        self.leave = asyncio.Event()
        self.hurry = asyncio.Event()
        self.reload = asyncio.Event()
        self.reason = ""

    def listen_to_signals(self) -> None:
        """Let SIGTERM and SIGINT (again: at once) mean leave, and SIGHUP read again."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave, number)
        loop.add_signal_handler(signal.SIGHUP, self.reload.set)

    def _leave(self, number: signal.Signals) -> None:
        if self.leave.is_set():
            self.hurry.set()
        self.reason = number.name
        self.leave.set()


def _call_failed(log: Log, method: str, error: Exception) -> None:
    log.error("call failed", method=method, error=repr(error))


def _server(service: ControllerService, admission: Admission) -> tuple[grpc.aio.Server, Any]:
    connections = channel.connections_within(_raise_open_files(), MAX_CONNECTIONS)
    server = grpc.aio.server(
        interceptors=[admission],
        options=channel.server_options(max_connections=connections),
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    controller_pb2_grpc.add_ControllerServiceServicer_to_server(service, server)
    vital_signs = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(vital_signs, server)
    names = (
        SERVICE_NAME,
        health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
        reflection.SERVICE_NAME,
    )
    reflection.enable_server_reflection(names, server)
    return server, vital_signs


def _raise_open_files() -> int:
    """Let this process have as many files open as it may: one an agent, and one an operator; how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


def _open_door(server: grpc.aio.Server, settings: Config, credentials: Credentials | None) -> str:
    """Bind the port; returns the address in use.

    Raises: Conflict PORT_IN_USE.
    """
    try:
        if credentials is None:
            port = server.add_insecure_port(settings.listen)
        else:
            port = server.add_secure_port(settings.listen, channel.server_credentials(credentials))
    except RuntimeError as error:
        raise Conflict(
            "PORT_IN_USE",
            f"{settings.path}: controller.listen: cannot listen on {settings.listen}: {error}",
            "end what listens there, or choose another port (0: any free one)",
        ) from error
    return f"{settings.listen.rpartition(':')[0]}:{port}"


def _told(error: FleetError) -> str:
    return f"fleet-controller: {error.message}\n" + (f"  {error.hint}\n" if error.hint else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleet-controller", description="Holds the fleet together and answers fleetctl."
    )
    parser.add_argument("--version", action="version", version=f"fleet-controller {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|check")
    run_ = commands.add_parser("run", help="run in the foreground until SIGTERM")
    run_.add_argument("--config", "-c", required=True, metavar="FILE")
    check_ = commands.add_parser("check", help="report every problem of a configuration")
    check_.add_argument("file", metavar="FILE")
    return parser


if __name__ == "__main__":
    sys.exit(main())
