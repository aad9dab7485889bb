"""What operators are told of hosts, asked of a whole controller over real mTLS."""

import asyncio
import time
from pathlib import Path

import pytest
from fakes import certificates, ports
from fakes.agent import FakeAgent
from fakes.controller import one_host, running
from fleet_api.errors import Denied, Unavailable
from fleet_api.identity import Role
from fleet_api.v1 import controller_pb2, types_pb2

Outcome = controller_pb2.HostOutcome
Reach = controller_pb2.Reachability
Process = types_pb2.Process


def names(message: controller_pb2.HostStatus) -> list[str]:
    return [f"{row.group}:{row.name}" for row in message.processes]


def assert_all_unknown(lost: controller_pb2.HostStatus) -> None:
    """What was known last is told, and never shown as running."""
    assert names(lost) == ["web:web_00", "web:web_01"]
    assert {(row.state, row.pid, row.description) for row in lost.processes} == {
        (Process.UNKNOWN, 0, "was RUNNING")
    }


def test_all_hosts_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2", "web3"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"], count=0) as web2,
            FakeAgent("web3", pki.agents["web3"], count=25) as web3,
        ):
            web3.snapshot_rows = 10
            hosts = {agent.host_id: agent.address for agent in (web1, web2, web3)}
            async with running(tmp_path, pki, hosts) as controller:
                answer = await controller.status()
                assert sorted(answer) == ["web1", "web2", "web3"]
                for messages in answer.values():
                    (message,) = messages
                    assert message.bucket == Outcome.OK
                    assert message.reachability.state == Reach.CONNECTED
                    assert message.reachability.HasField("age")
                    assert not message.HasField("error")
                assert names(answer["web1"][0]) == ["web:web_00", "web:web_01"]
                assert names(answer["web2"][0]) == []
                assert len(names(answer["web3"][0])) == 25
                assert answer["web1"][0].position == web1.position

    asyncio.run(scenario())


def test_changes_are_followed_and_uptime_grows_without_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.put("web", "web_00", Process.FATAL)
            agent.put("db", "db", Process.RUNNING, pid=7, uptime=86400 + 59.9)
            agent.remove("web", "web_01")
            message = await controller.wait_for_status(
                "web1", lambda message: names(message) == ["web:web_00", "db:db"]
            )
            assert message.processes[0].state == Process.FATAL
            message = await controller.wait_for_status(
                "web1", lambda message: message.processes[1].uptime.seconds >= 86460
            )
            assert message.processes[1].description == "pid 7, uptime 1 day, 0:01:00"
            assert agent.watches[1:] == [], "one stream, never read anew"

    asyncio.run(scenario())


def test_terms_choose_processes_and_unknown_ones_are_told_per_host(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (_agent, controller):
            (message,) = (await controller.status("web1", "web:web_01", "nope"))["web1"]
            assert names(message) == ["web:web_01"]
            assert [error.message for error in message.errors] == ["nope: no such process"]

    asyncio.run(scenario())


def test_very_many_processes_come_in_several_messages(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path, count=2500) as (_agent, controller):
            messages = (await controller.status("web1"))["web1"]
            assert [len(message.processes) for message in messages] == [1000, 1000, 500]
            assert [message.more for message in messages] == [True, True, False]

    asyncio.run(scenario())


def test_the_true_reason_of_each_host_that_cannot_be_reached(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "other", "expired", "badca"))
        strangers = certificates.make(tmp_path / "strangers", ("badca",))
        expired_files = pki.issue(Role.AGENT, "expired", days=0.01, now=time.time() - 86400)
        with ports.black_hole() as hole, ports.garbage() as garbage:
            async with (
                FakeAgent("web1", pki.agents["web1"]) as web1,
                FakeAgent("other", pki.agents["other"]) as other,
                FakeAgent("badca", strangers.agents["badca"]) as badca,
                FakeAgent("expired", expired_files) as expired,
                FakeAgent("refusing", pki.issue(Role.AGENT, "refusing")) as refusing,
                FakeAgent("starting", pki.issue(Role.AGENT, "starting")) as starting,
            ):
                refusing.refusal = Denied("EPOCH_TOO_OLD", "another controller is in charge")
                starting.refusal = Unavailable("SUPERVISOR_GONE", "the supervisor is being replaced")
                hosts = {
                    "web1": web1.address,
                    "dead": ports.free_port(),
                    "hole": hole,
                    "garbage": garbage,
                    "wrong": other.address,
                    "badca": badca.address,
                    "expired": expired.address,
                    "noname": "no-such-host.invalid:7601",
                    "refusing": refusing.address,
                    "starting": starting.address,
                }
                async with running(tmp_path, pki, hosts) as controller:
                    begun = time.monotonic()
                    answer = {name: messages[0] for name, messages in (await controller.status()).items()}
                    assert time.monotonic() - begun < 10
                    assert set(answer) == set(hosts)
                    await controller.wait_for_status(
                        "hole", lambda message: message.error.code == "NOT_ANSWERING"
                    )
                    codes = {name: message.error.code for name, message in answer.items()}
                    assert codes == {
                        "web1": "",
                        "dead": "CONNECTION_REFUSED",
                        "hole": "NOT_ANSWERING",
                        "garbage": "NOT_A_FLEET_PORT",
                        "wrong": "WRONG_NAME",
                        "badca": "UNKNOWN_CA",
                        "expired": "CERTIFICATE_EXPIRED",
                        "noname": "NAME_NOT_FOUND",
                        "refusing": "EPOCH_TOO_OLD",
                        "starting": "SUPERVISOR_GONE",
                    }
                    buckets = {"web1": Outcome.OK, "refusing": Outcome.REFUSED}
                    for name, message in answer.items():
                        expected = buckets.get(name, Outcome.UNREACHABLE)
                        assert message.bucket == expected, name
                        assert bool(message.processes) == (name == "web1")
                        assert name == "web1" or message.error.message

    asyncio.run(scenario())


def test_healthy_hosts_are_told_before_those_that_swallow_packets(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        with ports.black_hole() as hole:
            async with FakeAgent("web1", pki.agents["web1"]) as agent:
                hosts = {"hole": hole, "web1": agent.address}
                async with running(tmp_path, pki, hosts) as controller:
                    assert list(await controller.status()) == ["web1", "hole"]
                    await controller.wait_for_status(
                        "hole", lambda message: message.reachability.state == Reach.UNREACHABLE
                    )
                    begun = time.monotonic()
                    assert set(await controller.status()) == {"web1", "hole"}
                    assert time.monotonic() - begun < 2, "told from memory once an attempt has ended"

    asyncio.run(scenario())


def test_a_host_that_falls_silent_is_late_then_unreachable_and_comes_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.thawed.clear()
            late = await controller.wait_for_status(
                "web1", lambda message: message.reachability.state == Reach.LATE
            )
            assert late.bucket == Outcome.OK
            assert len(late.processes) == 2
            lost = await controller.wait_for_status(
                "web1", lambda message: message.bucket == Outcome.UNREACHABLE
            )
            assert lost.error.code == "NOT_ANSWERING"
            assert_all_unknown(lost)
            assert lost.reachability.HasField("last_seen_time")
            agent.thawed.set()
            back = await controller.wait_for_status("web1", lambda message: message.bucket == Outcome.OK)
            assert len(back.processes) == 2

    asyncio.run(scenario())


def test_a_gateway_that_beats_without_its_supervisor_is_seen_through(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.supervisor_age = 3600
            lost = await controller.wait_for_status(
                "web1", lambda message: message.bucket == Outcome.UNREACHABLE
            )
            assert lost.error.code == "SUPERVISOR_NOT_ANSWERING"
            assert_all_unknown(lost)

    asyncio.run(scenario())


def test_a_gateway_that_is_replaced_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            await agent.stop()
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(controller.status("web1"))
                await asyncio.sleep(0.3)
                agent.put("web", "web_00", Process.BACKOFF)
                await agent.start()
            (message,) = asking.result()["web1"]
            assert message.bucket == Outcome.OK
            back = await controller.wait_for_status(
                "web1", lambda message: message.processes[0].state == Process.BACKOFF
            )
            assert back.position == agent.position
            assert agent.watches[-1].after.sequence == 2, "resumed, not read anew"

    asyncio.run(scenario())


def test_a_dead_host_is_told_with_its_reason_once_it_had_its_chance(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            await agent.stop()
            lost = await controller.wait_for_status(
                "web1", lambda message: message.bucket == Outcome.UNREACHABLE
            )
            assert lost.error.code == "CONNECTION_REFUSED"
            assert lost.reachability.HasField("last_seen_time")
            assert_all_unknown(lost)
            begun = time.monotonic()
            await controller.status("web1")
            assert time.monotonic() - begun < 1.5

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", ["a gap in the numbers", "another incarnation"])
def test_an_agent_that_loses_count_is_read_anew(tmp_path: Path, trouble: str) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            if trouble == "a gap in the numbers":
                agent.put("web", "web_00", Process.FATAL, skip=3)
            else:
                agent.restart_numbering("second")
                agent.processes["web", "web_00"].state = Process.FATAL
            message = await controller.wait_for_status(
                "web1",
                lambda message: message.processes and message.processes[0].state == Process.FATAL,
            )
            assert message.position == agent.position
            assert "host is read anew host=web1" in controller.log

    asyncio.run(scenario())


def test_a_read_after_a_write_waits_for_the_copy_or_says_that_it_is_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            agent.put("web", "web_00", Process.STOPPED)
            (message,) = (await controller.status("web1", at_least=[agent.position]))["web1"]
            assert message.processes[0].state == Process.STOPPED
            assert not message.behind
            future = agent.position
            future.sequence += 1000
            (message,) = (await controller.status("web1", at_least=[future]))["web1"]
            assert message.behind
            assert len(message.processes) == 2

    asyncio.run(scenario())


def test_hosts_are_listed_with_what_is_known_of_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        async with FakeAgent("web1", pki.agents["web1"]) as agent:
            dead = ports.free_port()
            async with running(tmp_path, pki, {"web1": agent.address, "dead": dead}) as controller:
                await controller.wait_until_connected("web1")
                await controller.wait_for_status("dead", lambda message: message.error.code)
                request = controller_pb2.ListHostsRequest()
                request.hosts.all_hosts = True
                hosts = {
                    host.name: host
                    async for chunk in controller.stub.ListHosts(request, timeout=10)
                    for host in chunk.hosts
                }
                assert hosts["web1"].address == agent.address
                assert hosts["web1"].agent_version == "0.0-fake"
                assert hosts["web1"].reachability.state == Reach.CONNECTED
                assert hosts["dead"].reachability.state == Reach.UNREACHABLE
                assert hosts["dead"].reachability.error.code == "CONNECTION_REFUSED"

    asyncio.run(scenario())
