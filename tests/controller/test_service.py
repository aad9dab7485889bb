"""Who may pass the operators' door, and what stands beside the service."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from fakes import certificates
from fakes.agent import FakeAgent
from fakes.controller import one_host, running, selector, wait_until
from fleet_api.identity import Role
from fleet_api.v1 import controller_pb2, controller_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SERVICE = "fleet_api.v1.ControllerService"


def test_the_controller_tells_who_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (_, controller):
            told = await controller.stub.GetController(controller_pb2.GetControllerRequest(), timeout=10)
            assert (told.fleet_id, told.epoch, told.host_count, told.api_level) == ("test", 1, 1, 2)
            assert told.version and told.features and told.start_time.seconds

    asyncio.run(scenario())


@pytest.mark.parametrize("who", ["agent", "controller", "stranger of another fleet"])
def test_only_operators_of_this_fleet_are_let_in(tmp_path: Path, who: str) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        async with running(tmp_path, pki, {}) as controller:
            match who:
                case "agent":
                    files = pki.agents["web1"]
                case "controller":
                    files = pki.issue(Role.CONTROLLER, "controller-2")
                case _:
                    files = certificates.make(tmp_path / "other", fleet="other").operator
                    files = files._replace(ca=pki.ca)
            channel = controller.open_unchecked_channel(files)
            stub = controller_pb2_grpc.ControllerServiceStub(channel)
            listing = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
            health = health_pb2_grpc.HealthStub(channel)
            calls: list[Any] = [
                health.Check(health_pb2.HealthCheckRequest(), timeout=10),
                reflection.ServerReflectionInfo(listing, timeout=10).read(),
                stub.GetController(controller_pb2.GetControllerRequest(), timeout=10),
                stub.ListHosts(controller_pb2.ListHostsRequest(hosts=selector("")), timeout=10).read(),
                stub.GetStatus(controller_pb2.GetStatusRequest(hosts=selector("")), timeout=10).read(),
                stub.OperateFleet(controller_pb2.OperateFleetRequest(hosts=selector("")), timeout=10).read(),
                stub.ReadFleetLog(controller_pb2.ReadFleetLogRequest(hosts=selector("")), timeout=10).read(),
            ]
            for call in calls:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                if who != "controller":
                    # Of another CA, or with a certificate for servers alone: not even past the handshake.
                    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                else:
                    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
                    error = controller.error_of(caught.value)
                    assert error.code == "ROLE_NOT_ALLOWED"
                    assert "it takes the role user" in error.message
            await channel.close(None)

    asyncio.run(scenario())


def test_health_and_reflection(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        async with running(tmp_path, pki, {}) as controller:
            health = health_pb2_grpc.HealthStub(controller.channel)
            for name in ("", SERVICE):
                answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING, name
            reflection = reflection_pb2_grpc.ServerReflectionStub(controller.channel)
            call = reflection.ServerReflectionInfo(
                iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
            )
            answer = await call.read()
            assert SERVICE in [service.name for service in answer.list_services_response.service]

    asyncio.run(scenario())


def test_an_empty_target_is_a_bad_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (_, controller):
            for call in (
                controller.stub.GetStatus(controller_pb2.GetStatusRequest(), timeout=10),
                controller.stub.ListHosts(controller_pb2.ListHostsRequest(), timeout=10),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call.read()
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
                assert controller.error_of(caught.value).code == "EMPTY_TARGET"

    asyncio.run(scenario())


def test_garbage_silence_and_vanishing_clients_harm_nobody(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (_, controller):
            host, port = controller.address.split(":")
            sockets = [socket.create_connection((host, int(port)), timeout=10) for _ in range(20)]
            for number, sock in enumerate(sockets):
                sock.sendall([b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + b"\xff" * 5000][number % 3])
            for sock in sockets[:10]:
                sock.close()
            calls: list[Any] = [
                controller.stub.GetStatus(controller_pb2.GetStatusRequest(hosts=selector("")))
                for _ in range(20)
            ]
            for call in calls:
                call.cancel()
            answer = await controller.status()
            assert answer["web1"][0].bucket == controller_pb2.HostOutcome.OK
            for sock in sockets[10:]:
                sock.close()

    asyncio.run(scenario())


def test_leaving_ends_followers_with_a_word(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.log = b"x"
            request = controller_pb2.ReadFleetLogRequest(
                hosts=selector("web1"), process="web_00", follow=True
            )
            call = controller.stub.ReadFleetLog(request)
            await call.read()
            controller.asked.leave.set()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert controller.error_of(caught.value).code == "CONTROLLER_LEAVING"
            await wait_until(lambda: "INFO left" in controller.log)

    asyncio.run(scenario())


def test_plaintext_works_when_it_was_asked_for_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        async with (
            FakeAgent("web1", None) as agent,
            running(tmp_path, pki, {"web1": agent.address}, plaintext=True) as controller,
            grpc.aio.insecure_channel(controller.address) as channel,
        ):
            stub = controller_pb2_grpc.ControllerServiceStub(channel)
            request = controller_pb2.GetStatusRequest(hosts=selector(""))
            (answer,) = [message async for message in stub.GetStatus(request, timeout=10)]
            assert answer.bucket == controller_pb2.HostOutcome.OK
            assert "no TLS: anybody who reaches this port may command the fleet" in controller.log

    asyncio.run(scenario())
