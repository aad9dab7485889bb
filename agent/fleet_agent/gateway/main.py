"""The gateway: talks gRPC with controllers and operators, as a user without rights.

Started by the keeper: `python -P .../gateway/main.py --link-fd 3 [--port-fd 4]`. It learns all it needs
over the link, serves until the link ends, and leaves no trace. Why it cannot serve it tells the supervisor,
which logs it once, however often it tries. Exit codes: 0 the supervisor went away or
SIGTERM, 1 it cannot serve with what it was given, 3 its address cannot be bound, 4 the link broke.
"""

import argparse
import asyncio
import concurrent.futures.thread  # noqa: F401 - later, as another user, it might not be readable
import logging
import os
import resource
import signal
import socket
import sys
import time
import uuid
from collections.abc import Coroutine
from typing import Any, NamedTuple, NoReturn

# gRPC would write a line for every stranger whose handshake fails.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

import grpc.aio
from fleet_api import channel
from fleet_api.admission import Admission, Door
from fleet_api.credentials import Credentials
from fleet_api.errors import BadRequest, Conflict, Denied, FleetError
from fleet_api.frames import Frame
from fleet_api.identity import Identity, Role
from fleet_api.v1 import agent_pb2, agent_pb2_grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from fleet_agent.gateway import own_credentials
from fleet_agent.gateway.admission import ROLES
from fleet_agent.gateway.attendance import attend
from fleet_agent.gateway.confine import User, confine, user_of
from fleet_agent.gateway.copy import Copy
from fleet_agent.gateway.feed import Feed
from fleet_agent.gateway.health import SERVICE_NAME as HEALTH_SERVICE
from fleet_agent.gateway.health import Health
from fleet_agent.gateway.link import Link
from fleet_agent.gateway.pulse import Pulse
from fleet_agent.gateway.service import AgentFacts, AgentService
from fleet_agent.gateway.watch import Watching

EXIT_DONE = 0
EXIT_CANNOT_SERVE = 1
EXIT_NOT_BOUND = 3
EXIT_LINK_BROKEN = 4

START_SECONDS = 60.0
TELL_SECONDS = 5.0
DRAIN_SECONDS = 0.5
MAX_CALLS = 5_000

log = logging.getLogger("fleet-agent gateway")


class Setup(NamedTuple):
    """The supervisor's answer to `configure`, checked. Without credentials the port is plain text."""

    address: str
    credentials: Credentials | None
    user: User | None

    @classmethod
    def from_frame(cls, frame: Frame, now: float) -> "Setup":
        """`now`, in seconds since the epoch: when the certificate must be valid.

        Raises: BadRequest when an address or a user is missing, Denied for a certificate of somebody else
        than this host's agent, and what `own_credentials.check` raises.
        """
        address = frame.get("listen")
        if not isinstance(address, str) or not address:
            raise BadRequest(
                "LISTEN_MISSING", f"no address to listen on: {address!r}", "see listen in [fleet]"
            )
        user = user_of(frame.get("user"))
        if frame.get("insecure_plaintext") is True:
            return cls(address, None, user)
        certificate, key, ca = (str(frame.get(part) or "").encode() for part in ("certificate", "key", "ca"))
        credentials = own_credentials.check(certificate, key, ca, now)
        _check_holder(credentials.identity, str(frame.get("host_id") or ""))
        return cls(address, credentials, user)


def _check_holder(holder: Identity, host_id: str) -> None:
    if (holder.role, holder.name) != (Role.AGENT, host_id):
        raise Denied(
            "WRONG_CERTIFICATE",
            f"the certificate is for {holder}; this host is agent/{host_id}",
            f"set host_id in [fleet], or issue one: fleetctl pki issue agent {host_id}",
        )


async def serve(link_fd: int, port_fd: int | None) -> int:
    """Serve until the link ends or SIGTERM comes; the exit code."""
    link = Link(socket.socket(fileno=link_fd))
    try:
        setup = Setup.from_frame(await link.call("configure", timeout_seconds=START_SECONDS), time.time())
        confine(setup.user, port_fd)
        _warn(setup)
        facts = AgentFacts.from_hello(await link.call("hello", timeout_seconds=START_SECONDS))
        return await _serve(link, setup, facts)
    except FleetError as error:
        if not link.is_open:
            return _end_of(link)
        await _tell(link, error)
        return EXIT_CANNOT_SERVE


async def _tell(link: Link, problem: FleetError | None) -> None:
    """Tell the supervisor that we serve, or why not; on stderr what it does not hear."""
    try:
        wire = None if problem is None else problem.to_wire()
        await link.call("serving", timeout_seconds=TELL_SECONDS, error=wire)
    except FleetError:
        if problem is not None:
            log.error("cannot serve: %s%s", problem, f" ({problem.hint})" if problem.hint else "")


async def _serve(link: Link, setup: Setup, facts: AgentFacts) -> int:
    monotonic = time.monotonic
    copy = Copy()
    feed = Feed(link, copy, monotonic)
    pulse = Pulse(lambda: link.call("ping"), monotonic)
    door = Door(setup.credentials.identity.fleet if setup.credentials else None, ROLES)
    watching = Watching(link, copy, feed, pulse, monotonic, time.time)
    service = AgentService(facts, door, link, copy, feed, watching, monotonic, _new_id)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run) for run in (feed.run(), pulse.run(), attend(link))]
        try:
            await _first_of(feed.wait_until_filled(START_SECONDS), link.wait_until_ended())
            if not copy.is_filled:
                log.error("no status from the supervisor")
                return EXIT_CANNOT_SERVE if link.is_open else _end_of(link)
            server = _server(service, Health(pulse, frozenset({_AGENT_SERVICE})), door)
            try:
                _bind(server, setup)
            except Conflict as error:
                await _tell(link, error)
                return EXIT_NOT_BOUND
            terminated = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminated.set)
            await server.start()
            await _tell(link, None)
            await _first_of(link.wait_until_ended(), terminated.wait())
            await server.stop(DRAIN_SECONDS)
            return _end_of(link)
        finally:
            for task in running:
                task.cancel()


def _new_id() -> str:
    return uuid.uuid4().hex


async def _first_of(*conditions: Coroutine[Any, Any, object]) -> None:
    waiting = [asyncio.ensure_future(condition) for condition in conditions]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


_AGENT_SERVICE = agent_pb2.DESCRIPTOR.services_by_name["AgentService"].full_name


def _server(service: AgentService, health: Health, door: Door) -> grpc.aio.Server:
    server = grpc.aio.server(
        interceptors=[Admission(door, _call_failed)],
        options=channel.server_options(
            so_reuseport=True,
            max_connections=channel.connections_within(
                resource.getrlimit(resource.RLIMIT_NOFILE)[0], channel.MAX_CONNECTIONS
            ),
        ),
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    agent_pb2_grpc.add_AgentServiceServicer_to_server(service, server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection([_AGENT_SERVICE, HEALTH_SERVICE, reflection.SERVICE_NAME], server)
    return server


def _call_failed(method: str, error: Exception) -> None:
    log.error("%s failed", method, exc_info=error)


def _bind(server: grpc.aio.Server, setup: Setup) -> None:
    """Raises: Conflict when the address cannot be bound."""
    try:
        if setup.credentials is None:
            server.add_insecure_port(setup.address)
        else:
            server.add_secure_port(setup.address, channel.server_credentials(setup.credentials))
    except RuntimeError as error:
        raise Conflict(
            "PORT_IN_USE",
            f"cannot listen on {setup.address}: {error}",
            "another program listens there, or the port is below 1024, which takes a user with rights",
        ) from error


def _warn(setup: Setup) -> None:
    if setup.credentials is None:
        log.warning(
            "INSECURE: %s is plain text, anybody who reaches it commands this agent (insecure_plaintext)",
            setup.address,
        )
    if os.geteuid() == 0:
        log.warning("the gateway runs as root; name an unprivileged gateway_user in [fleet]")


def _end_of(link: Link) -> int:
    if link.failure is None:
        return EXIT_DONE
    log.error("the link to the supervisor broke: %s", link.failure)
    return EXIT_LINK_BROKEN


async def _serve_and_leave(link_fd: int, port_fd: int | None) -> NoReturn:
    code = await serve(link_fd, port_fd)
    sys.stderr.flush()
    # At once: threads of gRPC, or one that waits for a disk, must not hold back the next gateway.
    os._exit(code)


def main(arguments: list[str]) -> None:
    """Run the gateway; does not return."""
    parser = argparse.ArgumentParser(prog="fleet-agent gateway")
    parser.add_argument("--link-fd", type=int, required=True, help="the link to the supervisor")
    parser.add_argument("--port-fd", type=int, help="the reserved port; held, never read")
    options = parser.parse_args(arguments)
    # Ctrl-C and a closed terminal are for the keeper; it ends this process when it is time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logging.basicConfig(stream=sys.stderr, format="%(name)s: %(message)s", level=logging.WARNING)
    for fd in (options.link_fd, options.port_fd):
        if fd is not None:
            os.set_inheritable(fd, False)
    asyncio.run(_serve_and_leave(options.link_fd, options.port_fd))


if __name__ == "__main__":
    main(sys.argv[1:])
