"""Descendants are asked of the hosts themselves, by a whole controller over real mTLS."""

import asyncio
from pathlib import Path

import grpc
import pytest
from fakes import certificates, ports
from fakes.agent import FakeAgent
from fakes.controller import Controller, one_host, running, selector
from fleet_api import wire
from fleet_api.errors import BadRequest, NotFound
from fleet_api.status_codes import from_rpc_error
from fleet_api.v1 import controller_pb2, types_pb2

Outcome = controller_pb2.HostOutcome


async def trees(
    controller: Controller, expression: str = "", seconds: float = 5.0
) -> dict[str, list[controller_pb2.HostStatus]]:
    request = controller_pb2.GetStatusRequest(
        hosts=selector(expression), tree=True, host_timeout=wire.duration(seconds)
    )
    answers: dict[str, list[controller_pb2.HostStatus]] = {}
    async for message in controller.stub.GetStatus(request, timeout=30):
        answers.setdefault(message.host, []).append(message)
    return answers


def test_each_host_tells_its_own_and_a_lost_one_why_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2", "web3"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"], count=0) as web2,
        ):
            hosts = {"web1": web1.address, "web2": web2.address, "web3": ports.free_port()}
            async with running(tmp_path, pki, hosts) as controller:
                answers = await trees(controller)
                assert sorted(answers) == ["web1", "web2", "web3"]
                assert [message.more for message in answers["web1"]] == [True, False]
                told = [process for message in answers["web1"] for process in message.processes]
                assert [(one.name, one.tree[0].pid, one.tree_size) for one in told] == [
                    ("web_00", 1000, 1),
                    ("web_01", 1001, 1),
                ]
                assert answers["web1"][0].position == web1.position
                (nothing,) = answers["web2"]
                assert (nothing.bucket, len(nothing.processes), nothing.more) == (Outcome.OK, 0, False)
                (lost,) = answers["web3"]
                assert lost.bucket == Outcome.UNREACHABLE
                assert lost.error.code == "CONNECTION_REFUSED"

    asyncio.run(scenario())


def test_a_host_that_hangs_costs_its_own_time_only(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.thawed.clear()
            (message,) = (await trees(controller, "web1", seconds=0.3))["web1"]
            assert message.bucket == Outcome.TIMED_OUT
            agent.thawed.set()

    asyncio.run(scenario())


def test_a_refusal_is_the_hosts_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.refusal = NotFound("NO_SUCH", "there is no such thing")
            (message,) = (await trees(controller, "web1"))["web1"]
            assert (message.bucket, message.error.code) == (Outcome.FAILED, "NO_SUCH")
            assert not message.processes

    asyncio.run(scenario())


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_time_that_makes_no_sense_is_refused(tmp_path: Path, seconds: float) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (_, controller):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await trees(controller, "web1", seconds)
            error = from_rpc_error(raised.value)
            assert isinstance(error, BadRequest)
            assert error.code == "BAD_TIMEOUT"

    asyncio.run(scenario())


def test_what_was_not_asked_for_is_not_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (_, controller):
            (message,) = (await controller.status())["web1"]
            assert {len(process.tree) for process in message.processes} == {0}
            assert isinstance(message.processes[0], types_pb2.Process)

    asyncio.run(scenario())
