"""The sessions of a whole controller follow its inventory file and survive rude agents."""

import asyncio
import time
from pathlib import Path

import pytest
from fakes import certificates, ports
from fakes.agent import FakeAgent
from fakes.controller import one_host, running, wait_until, write_inventory
from fleet_api.v1 import controller_pb2, types_pb2
from fleet_controller import main

Outcome = controller_pb2.HostOutcome


def test_the_inventory_is_read_again_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "LOOK_SECONDS", 0.02)

    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2", "web3"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as web1,
            FakeAgent("web2", pki.agents["web2"]) as web2,
            FakeAgent("web3", pki.agents["web3"]) as web3,
            running(tmp_path, pki, {"web1": web1.address, "web2": web2.address}) as controller,
        ):
            await controller.wait_until_connected("web1", "web2")
            write_inventory(tmp_path, {"web1": web1.address, "web3": web3.address})
            await wait_until(lambda: "added=1 removed=1 moved=0 relabelled=0" in controller.log)
            await controller.wait_until_connected("web1", "web3")
            assert set(await controller.status()) == {"web1", "web3"}
            assert len(web1.watches) == 1, "a host that stays is not dialled anew"

            # A broken file changes nothing, and is told once.
            (tmp_path / "inventory.toml").write_text("[hosts.web1")
            await wait_until(lambda: "inventory not read; the old one stays" in controller.log)
            await asyncio.sleep(0.3)
            assert controller.log.count("inventory not read") == 1
            assert set(await controller.status()) == {"web1", "web3"}

            # Another address: dialled there.
            await web1.stop()
            web1.port = 0
            await web1.start()
            write_inventory(tmp_path, {"web1": web1.address})
            controller.asked.reload.set()
            await wait_until(lambda: "added=0 removed=1 moved=1" in controller.log)
            await controller.wait_until_connected("web1")
            assert len(web1.watches) == 2

    asyncio.run(scenario())


@pytest.mark.parametrize("way", ["rows without end", "one huge row", "long names"])
def test_an_agent_that_tells_without_end_costs_the_others_nothing(tmp_path: Path, way: str) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki", ("web1", "web2"))
        async with (
            FakeAgent("web1", pki.agents["web1"]) as evil,
            FakeAgent("web2", pki.agents["web2"]) as good,
            running(tmp_path, pki, {"web1": evil.address, "web2": good.address}) as controller,
        ):
            await controller.wait_until_connected("web1", "web2")
            match way:
                case "rows without end":
                    for number in range(40_000):
                        row = types_pb2.Process(name=f"p{number}", group="g", reason="x" * 500)
                        evil.processes["g", row.name] = row
                    evil.restart_numbering("second")
                case "one huge row":
                    evil.put("g", "x" * 100_000, types_pb2.Process.RUNNING)
                case _:
                    evil.restart_numbering("i" * 100_000)
            await controller.wait_for_status("web1", lambda told: told.error.code == "HOST_TELLS_TOO_MUCH")
            (told,) = (await controller.status())["web1"]
            assert not told.processes
            assert told.ByteSize() < 10_000
            (told,) = (await controller.status())["web2"]
            assert len(told.processes) == 2
            # Nor does it come back at once.
            assert len(evil.watches) < 20
            evil.processes.clear()
            evil.restart_numbering("third")
            await controller.wait_until_connected("web1")

    asyncio.run(scenario())


def test_an_agent_that_ends_every_stream_at_once_is_not_dialled_in_a_circle(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        async with (
            FakeAgent("web1", pki.agents["web1"]) as agent,
            running(tmp_path, pki, {"web1": agent.address}, heartbeat=5) as controller,
        ):
            agent.ends_streams = True
            await wait_until(lambda: len(agent.watches) > 2)
            before, begun = len(agent.watches), time.monotonic()
            await asyncio.sleep(1)
            assert (len(agent.watches) - before) / (time.monotonic() - begun) < 30
            agent.ends_streams = False
            await controller.wait_until_connected("web1")

    asyncio.run(scenario())


def test_an_agent_that_never_counts_right_is_not_asked_in_a_circle(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            before = len(agent.watches)
            until = time.monotonic() + 1
            while time.monotonic() < until:
                agent.put("web", "web_00", types_pb2.Process.RUNNING, pid=1, skip=5)
                await asyncio.sleep(0.01)
            assert len(agent.watches) - before < 30
            await controller.wait_until_connected("web1")

    asyncio.run(scenario())


def test_an_agent_that_says_it_is_another_is_not_believed(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        async with FakeAgent("web1", pki.agents["web1"]) as agent:
            agent.host_id = "web7"
            async with running(tmp_path, pki, {"web1": agent.address}) as controller:
                message = (await controller.status("web1"))["web1"][0]
                assert message.bucket == Outcome.UNREACHABLE
                assert message.error.code == "WRONG_NAME"
                assert "is agent 'web7', the inventory says 'web1'" in message.error.message

    asyncio.run(scenario())


def test_many_dead_hosts_keep_no_healthy_one_waiting(tmp_path: Path) -> None:
    async def scenario() -> None:
        pki = certificates.make(tmp_path / "pki")
        with ports.black_hole() as hole:
            where, port = hole.split(":")
            hosts = {f"hole{number}": f"127.0.{number}.1:{port}" for number in range(3)}
            hosts |= {f"dead{number}": f"127.0.{number}.2:9" for number in range(30)}
            async with FakeAgent("web1", pki.agents["web1"]) as agent:
                hosts["web1"] = agent.address
                async with running(tmp_path, pki, hosts, max_connecting=5) as controller:
                    answer = await controller.status()
                    assert set(answer) == set(hosts)
                    assert answer["web1"][0].bucket == Outcome.OK
                    assert where == "127.0.0.1"

    asyncio.run(scenario())


def test_what_happens_to_a_host_is_logged_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with one_host(tmp_path) as (agent, controller):
            await agent.stop()
            await wait_until(lambda: "host lost host=web1 code=CONNECTION_REFUSED" in controller.log)
            await agent.start()
            await wait_until(lambda: controller.log.count("host connected host=web1") == 2)
            assert controller.log.count("host lost host=web1") == 1

    asyncio.run(scenario())
