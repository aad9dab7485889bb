"""Changes carried to agents by a whole controller over real mTLS."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from fakes import certificates, ports
from fakes.agent import FakeAgent
from fakes.controller import one_host, running, selector, wait_until
from fleet_api import wire
from fleet_api.errors import Conflict, Denied, NotFound
from fleet_api.v1 import agent_pb2, controller_pb2, types_pb2

Outcome = controller_pb2.HostOutcome
Verb = agent_pb2.OperateRequest
Process = types_pb2.Process


def order(expression: str = "", **fields: Any) -> controller_pb2.OperateFleetRequest:
    request = controller_pb2.OperateFleetRequest(
        **{
            "hosts": selector(expression),
            "verb": Verb.STOP,
            "selector": types_pb2.ProcessSelector(terms=["all"]),
            **fields,
        }
    )
    if not request.context.idempotency_key:
        request.context.idempotency_key = "key-1"
    return request


def test_every_host_answers_and_is_asked_once_with_our_context(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"]) as web2,
            running(tmp_path, pki, {"web1": web1.address, "web2": web2.address}) as controller,
        ):
            asked = types_pb2.OperationContext(
                operation_id="op-1", idempotency_key="k", actor="root", reason="tidy", fleet_id="x", epoch=99
            )
            answers = await controller.operate(order(context=asked, signal="HUP", no_wait=True))
            assert {name: answer.bucket for name, answer in answers.items()} == {
                "web1": Outcome.OK,
                "web2": Outcome.OK,
            }
            for agent in (web1, web2):
                answer = answers[agent.host_id]
                assert [one.process.state for one in answer.outcomes] == [Process.STOPPED] * 2
                assert answer.position == agent.position
                assert answer.operation_id == "op-1"
                assert answer.HasField("duration")
                (request,) = agent.operations
                assert (request.verb, request.signal, request.no_wait) == (Verb.STOP, "HUP", True)
                assert list(request.selector.terms) == ["all"]
                context = request.context
                assert context.actor == "user/alice", "who asks is told by the certificate alone"
                assert (context.fleet_id, context.epoch, context.reason) == ("test", 1, "tidy")
                assert (context.operation_id, context.idempotency_key) == ("op-1", "k")
            after = await controller.status(at_least=[answer.position for answer in answers.values()])
            for (message,) in after.values():
                assert {row.state for row in message.processes} == {Process.STOPPED}
            assert (
                "operation ended on host host=web1 operation=op-1 actor=user/alice verb=stop"
                in controller.log
            )

    asyncio.run(scenario())


def test_a_request_without_ids_gets_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            request = order()
            request.ClearField("context")
            await controller.operate(request)
            (asked,) = agent.operations
            assert len(asked.context.operation_id) == 36
            assert asked.context.idempotency_key == asked.context.operation_id

    asyncio.run(scenario())


def test_every_target_ends_in_its_bucket(tmp_path: Path) -> None:
    async def scenario() -> None:
        names = ("good", "failing", "refusing", "denied", "unmatched", "slow", "huge")
        pki = certificates.make(tmp_path / "pki", names)
        agents = {name: FakeAgent(name, pki.agents[name]) for name in names}

        def answer(result: Any, *errors: types_pb2.Error) -> Any:
            async def operate(request: agent_pb2.OperateRequest) -> agent_pb2.OperateResponse:
                outcome = types_pb2.ProcessOutcome(
                    name="web_00", group="web", result=result, reason="so it is"
                )
                return agent_pb2.OperateResponse(outcomes=[outcome], errors=errors)

            return operate

        agents["failing"].operate = answer(types_pb2.ProcessOutcome.FAILED)
        agents["refusing"].operate = answer(types_pb2.ProcessOutcome.REFUSED)
        agents["unmatched"].operate = answer(
            types_pb2.ProcessOutcome.OK,
            wire.error_to_proto(NotFound("NO_SUCH_PROCESS", "x: no such process")),
        )
        agents["huge"].operate = answer(
            types_pb2.ProcessOutcome.OK, types_pb2.Error(code="X", message="x" * 4_100_000)
        )
        agents["slow"].operate_seconds = 60
        with ports.black_hole() as hole:
            async with asyncio.TaskGroup() as starting:
                for agent in agents.values():
                    starting.create_task(agent.start())
            hosts = {name: agent.address for name, agent in agents.items()}
            hosts |= {"dead": ports.free_port(), "hole": hole}
            async with running(tmp_path, pki, hosts) as controller:
                await controller.wait_until_connected(*names)
                agents["denied"].refusal = Denied("EPOCH_TOO_OLD", "another controller is in charge")
                begun = time.monotonic()
                answers = await controller.operate(order(host_timeout=wire.duration(2)))
                assert time.monotonic() - begun < 8
                buckets = {name: Outcome.Bucket.Name(answer.bucket) for name, answer in answers.items()}
                assert buckets == {
                    "good": "OK",
                    "failing": "FAILED",
                    "refusing": "REFUSED",
                    "denied": "REFUSED",
                    "unmatched": "FAILED",
                    "huge": "FAILED",
                    "slow": "UNKNOWN",
                    "dead": "UNREACHABLE",
                    "hole": "UNREACHABLE",
                }
                assert answers["dead"].error.code == "CONNECTION_REFUSED"
                assert answers["hole"].error.code == "NOT_ANSWERING"
                assert answers["slow"].error.code == "ANSWER_LOST"
                assert "it may have been done" in answers["slow"].error.hint
                assert answers["unmatched"].errors[0].code == "NO_SUCH_PROCESS"
            for agent in agents.values():
                await agent.stop()

    asyncio.run(scenario())


def test_a_lost_answer_is_settled_by_its_key(tmp_path: Path) -> None:
    """The agent does it and dies before it can say so; its successor knows."""

    async def scenario() -> None:
        async with one_host(tmp_path, host_timeout=10) as (agent, controller):
            agent.loses_answer = True
            async with asyncio.TaskGroup() as tasks:
                operating = tasks.create_task(controller.operate(order("web1")))
                await wait_until(lambda: agent.carried_out == 1 and not agent.loses_answer)
                await wait_until(lambda: "host lost host=web1" in controller.log)
                await agent.start()
            answer = operating.result()["web1"]
            assert answer.bucket == Outcome.OK, answer
            assert len(answer.outcomes) == 2
            assert agent.carried_out == 1, "never carried out twice"

    asyncio.run(scenario())


def test_a_request_that_was_lost_on_its_way_is_sent_again(tmp_path: Path) -> None:
    """The agent dies before it does anything; its successor knows nothing and gets the same key."""

    async def scenario() -> None:
        async with one_host(tmp_path, host_timeout=10) as (agent, controller):
            agent.operate_seconds = 60
            async with asyncio.TaskGroup() as tasks:
                operating = tasks.create_task(controller.operate(order("web1")))
                await wait_until(lambda: len(agent.operations) == 1)
                await agent.stop()
                agent.operate_seconds = 0
                await agent.start()
            assert operating.result()["web1"].bucket == Outcome.OK
            assert [request.context.idempotency_key for request in agent.operations] == ["key-1"] * 2
            assert agent.carried_out == 1

    asyncio.run(scenario())


def test_a_request_that_was_lost_long_ago_is_not_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked may have given up by now, or done otherwise."""
    monkeypatch.setattr("fleet_controller.dispatch.REPLACEMENT_SECONDS", 0.0)

    async def scenario() -> None:
        async with one_host(tmp_path, host_timeout=60) as (agent, controller):
            agent.operate_seconds = 60
            async with asyncio.TaskGroup() as tasks:
                operating = tasks.create_task(controller.operate(order("web1")))
                await wait_until(lambda: len(agent.operations) == 1)
                await agent.stop()
                agent.operate_seconds = 0
                await agent.start()
            answer = operating.result()["web1"]
            assert (answer.bucket, answer.error.code) == (Outcome.UNKNOWN, "ANSWER_LOST")
            assert "has no record of it" in answer.error.message
            assert wire.seconds_of(answer.duration) < 20, "told at once"
            assert (len(agent.operations), agent.carried_out) == (1, 0)

    asyncio.run(scenario())


def test_an_answer_that_never_comes_is_unknown(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path, host_timeout=1.5) as (agent, controller):
            agent.loses_answer = True
            begun = time.monotonic()
            answer = (await controller.operate(order("web1")))["web1"]
            assert answer.bucket == Outcome.UNKNOWN
            assert answer.error.code == "ANSWER_LOST"
            assert "refuses connections" in answer.error.message
            assert time.monotonic() - begun < 6

    asyncio.run(scenario())


def test_an_answer_that_is_late_is_asked_for_at_the_end_of_the_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path, host_timeout=2) as (agent, controller):

            async def late(request: agent_pb2.OperateRequest) -> agent_pb2.OperateResponse:
                agent.carry_out(request)
                await asyncio.sleep(60)
                raise AssertionError

            agent.operate = late
            answer = (await controller.operate(order("web1")))["web1"]
            assert answer.bucket == Outcome.OK
            assert len(answer.outcomes) == 2

    asyncio.run(scenario())


def test_a_change_for_a_host_whose_gateway_is_being_replaced_arrives(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            await agent.stop()
            async with asyncio.TaskGroup() as tasks:
                operating = tasks.create_task(controller.operate(order("web1")))
                await wait_until(lambda: "operation asked" in controller.log)
                await agent.start()
            assert operating.result()["web1"].bucket == Outcome.OK
            assert agent.carried_out == 1

    asyncio.run(scenario())


def test_an_error_of_the_agent_is_final(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.refusal = Conflict("STOPPING", "the agent is leaving")
            answer = (await controller.operate(order("web1")))["web1"]
            assert answer.bucket == Outcome.FAILED
            assert (answer.error.code, answer.error.message) == ("STOPPING", "the agent is leaving")

    asyncio.run(scenario())


def test_no_more_hosts_at_once_than_the_fanout(tmp_path: Path) -> None:
    async def scenario() -> None:
        names = [f"web{number}" for number in range(6)]
        pki = certificates.make(tmp_path / "pki", names)
        at_once = most = 0

        async def operate(request: agent_pb2.OperateRequest) -> agent_pb2.OperateResponse:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.05)
            at_once -= 1
            return agent_pb2.OperateResponse()

        agents = [FakeAgent(name, pki.agents[name]) for name in names]
        for agent in agents:
            agent.operate = operate
            await agent.start()
        async with running(tmp_path, pki, {agent.host_id: agent.address for agent in agents}) as controller:
            await controller.wait_until_connected(*names)
            assert len(await controller.operate(order(fanout=2))) == 6
            assert most == 2
        for agent in agents:
            await agent.stop()

    asyncio.run(scenario())


def test_hosts_that_are_away_take_no_turn_from_those_that_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        holes = [f"hole{number}" for number in range(1, 41)]
        pki = certificates.make(tmp_path / "pki", ("web1", "web2"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"]) as web2,
        ):
            with contextlib.ExitStack() as held:
                hosts = {name: held.enter_context(ports.black_hole()) for name in holes}
                hosts |= {"web1": web1.address, "web2": web2.address}
                async with running(tmp_path, pki, hosts, max_connecting=100) as controller:
                    await controller.wait_until_connected("web1", "web2")
                    begun = time.monotonic()
                    call = controller.stub.OperateFleet(order("hole[1-40],web1,web2", fanout=1))
                    answers = [answer async for answer in call]
                    assert [answer.host for answer in answers[:2]] == ["web1", "web2"]
                    assert {answer.bucket for answer in answers[2:]} == {Outcome.UNREACHABLE}
                    assert sorted(answer.host for answer in answers[2:]) == sorted(holes)
                    # One after the other they would take 40 s.
                    assert time.monotonic() - begun < 20

    asyncio.run(scenario())


def test_when_the_client_vanishes_no_further_host_begins_and_begun_ones_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        names = ("web1", "web2")
        pki = certificates.make(tmp_path / "pki", names)
        gate = asyncio.Event()
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"]) as web2,
            running(tmp_path, pki, {"web1": web1.address, "web2": web2.address}) as controller,
        ):
            await controller.wait_until_connected(*names)

            async def operate(request: agent_pb2.OperateRequest) -> agent_pb2.OperateResponse:
                await gate.wait()
                return web1.carry_out(request)

            web1.operate = operate
            call = controller.stub.OperateFleet(order("web1,web2", fanout=1))
            reading = asyncio.ensure_future(call.read())
            await wait_until(lambda: bool(web1.operations))
            call.cancel()
            with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError)):
                await reading
            # On the same connection, so the controller has heard of the cancellation before it answers.
            await controller.stub.GetController(controller_pb2.GetControllerRequest(), timeout=10)
            gate.set()
            await wait_until(lambda: "operation ended on host host=web1" in controller.log)
            assert "outcome=ok" in controller.log
            assert web1.carried_out == 1
            assert not web2.operations

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"verb": Verb.VERB_UNSPECIFIED}, "BAD_VERB"),
        ({"verb": 77}, "BAD_VERB"),
        ({"selector": types_pb2.ProcessSelector()}, "NO_PROCESS"),
        ({"fanout": 4_000_000_000}, "BAD_FANOUT"),
        ({"host_timeout": wire.duration(0)}, "BAD_TIMEOUT"),
        ({"host_timeout": wire.duration(1e9)}, "BAD_TIMEOUT"),
        ({"hosts": controller_pb2.HostSelector()}, "EMPTY_TARGET"),
        ({"hosts": controller_pb2.HostSelector(expression="web9")}, "UNKNOWN_HOST"),
    ],
)
def test_a_bad_request_touches_no_host(tmp_path: Path, fields: dict[str, Any], code: str) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await controller.operate(order(**fields))
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert controller.error_of(caught.value).code == code
            assert not agent.operations

    asyncio.run(scenario())
