"""What operators stopped or disabled stays so, over every end of the agent; all else starts by itself."""

import json
import os
import signal
from pathlib import Path

from fleet_api.rows import ProcessRow
from real.agent import RealAgent, alive, program
from real.fleet import RealFleet
from real.waiting import wait_for

NAMES = ("web", "stopped", "disabled", "lazy")


def config() -> str:
    return "".join(
        f"[program:{name}]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
        f"autostart={'false' if name == 'lazy' else 'true'}\n"
        for name in NAMES
    )


def states(agent: RealAgent) -> dict[str, str]:
    return {name: agent.row(name)["state"] for name in NAMES}


def wish(agent: RealAgent) -> None:
    for name in NAMES[:3]:
        agent.wait_state(name, "RUNNING")
    assert agent.operate("stop", "stopped")["outcomes"][0]["result"] == "ok"
    context = {"operation_id": "op", "key": "k", "actor": "", "reason": "power work"}
    answer = agent.ask("operate", verb="disable", terms=["disabled"], now=True, context=context)
    assert answer["outcomes"][0]["reason"] == "disabled and stopped"


def as_wished(agent: RealAgent) -> ProcessRow:
    agent.wait_state("web", "RUNNING")
    assert states(agent) == dict(zip(NAMES, ("RUNNING", "STOPPED", "STOPPED", "STOPPED"), strict=True))
    row = agent.row("disabled")
    assert row["desire"] is not None
    assert (row["desire"]["kind"], row["desire"]["reason"]) == ("disabled", "power work")
    assert "disabled by" in row["description"]
    assert "power work" in row["description"]
    return row


def test_it_outlives_supervisor_and_agent_until_it_is_ended(tmp_path: Path) -> None:
    with RealAgent(tmp_path, config()) as agent:
        wish(agent)
        as_wished(agent)
        agent.wait_replaced(agent.kill_supervisor())
        as_wished(agent)
        agent.end()
        agent.start()
        as_wished(agent)
        started = agent.operate("start", "all")["outcomes"]
        assert {one["name"]: one["result"] for one in started} == {
            "web": "unchanged",
            "stopped": "ok",
            "disabled": "refused",
            "lazy": "ok",
        }
        assert agent.operate("enable", "disabled")["outcomes"][0]["reason"] == "enabled"
        agent.end()
        agent.start()
        for name in NAMES[:3]:
            assert agent.wait_state(name, "RUNNING")["desire"] is None
        assert agent.row("lazy")["state"] == "STOPPED"


def test_an_agent_that_was_killed_whole_knows_it_after_a_boot(tmp_path: Path) -> None:
    with RealAgent(tmp_path, config()) as agent:
        wish(agent)
        web = agent.row("web")["pid"]
        pids = [agent.hello()[name] for name in ("pid", "supervisor_pid", "gateway_pid")]
        for pid in filter(None, pids):
            os.kill(pid, signal.SIGKILL)
        os.kill(web, signal.SIGKILL)
        assert agent.keeper is not None
        agent.keeper.wait()
        wait_for(lambda: not any(alive(pid) for pid in [*filter(None, pids), web]), what="all gone")
        # As after a boot: the runtime folder is in memory on most hosts.
        for path in sorted((tmp_path / "state" / "run").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        agent.start()
        as_wished(agent)


def test_a_damaged_file_is_told_once_and_all_that_is_not_known_starts(tmp_path: Path) -> None:
    with RealAgent(tmp_path, config()) as agent:
        wish(agent)
        agent.end()
        path = tmp_path / "state" / "desires.json"
        whole = path.read_bytes()
        assert set(json.loads(whole)["desires"]) == {"stopped:stopped", "disabled:disabled"}
        path.write_bytes(whole[: whole.index(b"disabled:disabled")])
        agent.start()
        for name in ("web", "disabled"):
            agent.wait_state(name, "RUNNING")
        assert agent.row("stopped")["state"] == "STOPPED"
        agent.wait_told("what operators stopped or disabled cannot")
        agent.end()
        agent.start()
        agent.wait_state("disabled", "RUNNING")
        assert agent.row("stopped")["state"] == "STOPPED"
        agent.wait_told("what operators stopped or disabled cannot")


def test_over_the_fleet_a_disabled_program_is_told_refused_and_enabled(tmp_path: Path) -> None:
    text = f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
    with RealFleet(tmp_path, {"web1": text, "web2": text}) as fleet:
        for agent in fleet.agents.values():
            agent.wait_state("web", "RUNNING")
        done = fleet.ctl("disable", "--now", "web", "-H", "web1", "--reason", "new disk")
        assert (done.code, done.out) == (0, "web: disabled and stopped\n")
        row = fleet.ctl("status", "-H", "web1", "-o", "json").host("web1")["processes"][0]
        assert (row["desire"]["kind"], row["desire"]["reason"]) == ("disabled", "new disk")
        assert row["desire"]["actor"].endswith("/user/alice")
        assert "disabled by" in fleet.ctl("status", "--all-hosts", "-o", "wide").out
        done = fleet.ctl("start", "all", "--all-hosts", "--yes", "-o", "json")
        assert done.code == 2
        assert [done.host(name)["bucket"] for name in ("web1", "web2")] == ["refused", "ok"]
        (outcome,) = done.host("web1")["outcomes"]
        assert (outcome["result"], outcome["error"]["hint"]) == ("refused", "fleetctl enable web")
        done = fleet.ctl("enable", "--now", "web", "--all-hosts", "--yes", "-o", "json")
        assert done.code == 0
        assert done.host("web1")["outcomes"][0]["reason"] == "enabled and started"
        row = fleet.ctl("status", "-H", "web1", "-o", "json").host("web1")["processes"][0]
        assert (row["state"], row["desire"]) == ("RUNNING", None)
