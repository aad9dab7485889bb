"""Logs of one or many hosts, relayed by a whole controller over real mTLS."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from fakes import certificates, ports
from fakes.agent import FakeAgent
from fakes.controller import Controller, one_host, running, selector, wait_until
from fleet_api.v1 import agent_pb2, controller_pb2, types_pb2

Outcome = controller_pb2.HostOutcome
Message = controller_pb2.ReadFleetLogResponse


def request(expression: str = "", **fields: Any) -> controller_pb2.ReadFleetLogRequest:
    return controller_pb2.ReadFleetLogRequest(
        **{
            "hosts": selector(expression),
            "process": "web:web_00",
            "stream": agent_pb2.ReadLogRequest.STDOUT,
            **fields,
        }
    )


async def read(controller: Controller, asked: controller_pb2.ReadFleetLogRequest) -> list[Message]:
    return [message async for message in controller.stub.ReadFleetLog(asked, timeout=20)]


def text(messages: list[Message], host: str = "web1") -> bytes:
    return b"".join(message.chunk.data for message in messages if message.host == host)


async def first(messages: AsyncIterator[Message], count: int) -> list[Message]:
    return [await anext(messages) for _ in range(count)]


def test_a_log_arrives_whole_and_can_be_resumed(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.log = b"".join(b"line %d\n" % number for number in range(1000))
            messages = await read(controller, request("web1"))
            assert text(messages) == agent.log
            assert messages[-1].chunk.next.offset == len(agent.log)
            after = {"web1": messages[2].chunk.next}
            assert text(await read(controller, request("web1", after=after))) == agent.log[3000:]
            assert text(await read(controller, request("web1", last_bytes=10))) == agent.log[-10:]

    asyncio.run(scenario())


def test_hosts_take_turns_and_a_failing_one_ends_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2", "db1"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"]) as web2,
            FakeAgent("db1", pki.agents["db1"], count=0) as db1,
        ):
            web1.log, web2.log = b"a" * 50_000, b"b" * 50_000
            hosts = {agent.host_id: agent.address for agent in (web1, web2, db1)}
            hosts["dead"] = ports.free_port()
            async with running(tmp_path, pki, hosts) as controller:
                await controller.wait_until_connected("web1", "web2", "db1")
                messages = await read(controller, request())
                assert text(messages, "web1") == web1.log
                assert text(messages, "web2") == web2.log
                ends = {message.host: message for message in messages if message.bucket}
                assert set(ends) == {"db1", "dead"}
                assert ends["db1"].bucket == Outcome.FAILED
                assert ends["db1"].error.code == "NO_SUCH_PROCESS"
                assert ends["dead"].bucket == Outcome.UNREACHABLE
                assert ends["dead"].error.code == "CONNECTION_REFUSED"
                turns = [message.host for message in messages if message.chunk.data]
                assert "web2" in turns[:15] and "web1" in turns[:15], "no host waits for the end of another"

    asyncio.run(scenario())


def test_a_chunk_too_large_to_be_passed_on_ends_one_host_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as evil,
            FakeAgent("web2", pki.agents["web2"]) as good,
            running(tmp_path, pki, {"web1": evil.address, "web2": good.address}) as controller,
        ):
            evil.log, evil.chunk_bytes = b"x" * 4_000_000, 4_000_000
            good.log = b"fine"
            messages = await read(controller, request(last_bytes=5_000_000))
            assert text(messages, "web2") == b"fine"
            (end,) = [message for message in messages if message.host == "web1"]
            assert (end.bucket, end.error.code) == (Outcome.FAILED, "ANSWER_TOO_LARGE")

    asyncio.run(scenario())


def test_a_followed_log_goes_on_and_the_reader_at_the_agent_ends_with_the_client(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.log = b"one\n"
            call = controller.stub.ReadFleetLog(request("web1", follow=True))
            messages = aiter(call)
            assert text(await first(messages, 1)) == b"one\n"
            agent.log += b"two\n"
            assert text(await first(messages, 1)) == b"two\n"
            assert agent.log_readers == 1
            call.cancel()
            await wait_until(lambda: agent.log_readers == 0)

    asyncio.run(scenario())


def test_a_reader_that_does_not_read_does_not_fill_the_controller(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.chunk_bytes = 500_000
            agent.log = bytes(100_000_000)
            call = controller.stub.ReadFleetLog(request("web1"))
            await call.read()
            sent = -1
            while sent != agent.log_sent:
                sent = agent.log_sent
                await asyncio.sleep(0.2)
            assert sent < 60_000_000
            call.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("follow", [False, True])
def test_a_log_goes_on_where_it_stopped_when_the_gateway_is_replaced(tmp_path: Path, follow: bool) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.log = bytes(range(256)) * 40
            agent.log_breaks_at = 4000
            received = b""
            async for message in controller.stub.ReadFleetLog(request("web1", follow=follow), timeout=20):
                assert not message.bucket, message
                received += message.chunk.data
                if len(received) >= len(agent.log):
                    break
            assert received == agent.log

    asyncio.run(scenario())


def test_a_followed_host_that_dies_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"]) as web2,
            running(tmp_path, pki, {"web1": web1.address, "web2": web2.address}) as controller,
        ):
            await controller.wait_until_connected("web1", "web2")
            web1.log, web2.log = b"1", b"2"
            messages = aiter(controller.stub.ReadFleetLog(request(follow=True), timeout=20))
            assert {message.host for message in await first(messages, 2)} == {"web1", "web2"}
            await web1.stop()
            (end,) = await first(messages, 1)
            assert (end.host, end.bucket, end.error.code) == (
                "web1",
                Outcome.UNREACHABLE,
                "CONNECTION_REFUSED",
            )
            web2.log += b"22"
            assert text(await first(messages, 1), "web2") == b"22"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"process": ""}, "NO_PROCESS"),
        ({"hosts": controller_pb2.HostSelector()}, "EMPTY_TARGET"),
    ],
)
def test_bad_requests(tmp_path: Path, fields: Mapping[str, Any], code: str) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (_, controller):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await read(controller, request(**fields))
            assert controller.error_of(caught.value).code == code

    asyncio.run(scenario())


def test_a_cursor_that_means_nothing_is_the_agents_to_judge(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.log = b"abc"
            after = {"web1": types_pb2.LogCursor(log_id="gone", offset=2), "nobody": types_pb2.LogCursor()}
            assert text(await read(controller, request("web1", after=after))) == b"c"

    asyncio.run(scenario())
