"""A real fleet whose parties are not to be trusted: a wrong certificate, a controller that was replaced."""

import os
import shutil
import time
from pathlib import Path

import pytest
from fleet_api.identity import Role
from real.agent import RealAgent, program
from real.fleet import IMPATIENT, RealController, RealFleet
from real.waiting import wait_for

SLEEPER = f"[program:sleeper]\ncommand={program('ignores_term')}\nstopsignal=KILL\n"


def test_a_controller_that_was_replaced_commands_nobody(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {"web1": SLEEPER}, settings=IMPATIENT) as fleet:
        agent = fleet.agents["web1"]
        assert fleet.ctl("restart", "sleeper", "-H", "web1", "--yes").code == 0
        # One of the same name that goes on from the same epoch, elsewhere: a copy of the folder.
        shutil.copytree(fleet.controller.folder / "state", tmp_path / "second" / "state")
        second = RealController(tmp_path / "second", fleet.pki, IMPATIENT)
        shutil.copy(fleet.controller.inventory, second.inventory)
        first, fleet.controller = fleet.controller, second
        try:
            second.start()
            fleet.write_client_config(fleet.pki.operator)
            fleet.wait_connected()
            assert fleet.ctl("restart", "sleeper", "-H", "web1", "--yes").code == 0
            pid = agent.row("sleeper")["pid"]
            fleet.controller = first
            fleet.write_client_config(fleet.pki.operator)
            done = fleet.ctl("restart", "sleeper", "-H", "web1", "--yes", "-o", "json")
            error = done.host("web1")["error"]
            assert (error["code"], done.host("web1")["bucket"]) == ("STALE_EPOCH", "failed")
            assert "epoch 1 of fleet 'test' is over; this host has heard of 2" in error["message"]
            assert "another controller is in charge" in error["hint"]
            assert done.code == 2
            assert agent.row("sleeper")["pid"] == pid
            # The agent's supervisor may be replaced: the epoch is not forgotten. Reads go on.
            agent.wait_replaced(agent.kill_supervisor())
            assert "STALE_EPOCH" in fleet.ctl("stop", "sleeper", "-H", "web1", "--yes", "-o", "json").out
            assert fleet.ctl("status", "--all-hosts").code == 0
            # Started again, it is the newer one.
            first.end()
            first.start()
            fleet.wait_connected()
            first.end()
            first.start()
            fleet.wait_connected()
            assert fleet.ctl("restart", "sleeper", "-H", "web1", "--yes").code == 0
        finally:
            second.end()


def test_an_agent_without_a_good_certificate_supervises_and_says_why_nobody_reaches_it(
    tmp_path: Path,
) -> None:
    with RealFleet(tmp_path, {"web1": SLEEPER}, settings=IMPATIENT) as fleet:
        agent = fleet.agents["web1"]
        pid = agent.row("sleeper")["pid"]
        fleet.pki.issue(Role.AGENT, "web1", now=time.time() - 5 * 86400)  # in the place of the good one
        agent.kill_gateway()
        problem = wait_for(lambda: agent.hello()["gateway_problem"], what="the problem", seconds=20)
        assert "certificate of agent/web1 expired" in problem
        assert "fleetctl pki issue" in problem
        wait_for(lambda: "no gateway:" in agent.activity(), what="the problem in the log")
        assert (
            "not serving: certificate of agent/web1 expired"
            in fleet.ctl("version", "--state-dir", str(agent.state_dir)).out
        )
        assert agent.row("sleeper")["pid"] == pid
        fleet.pki.issue(Role.AGENT, "web1")
        # It is tried again in a while; a new supervisor tries at once.
        agent.wait_replaced(agent.kill_supervisor())
        fleet.wait_connected()
        assert agent.hello()["gateway_problem"] == ""
        agent.wait_told("no gateway:")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a gateway as somebody else")
def test_neither_gateway_nor_child_gets_what_is_not_theirs(tmp_path: Path) -> None:
    config = "[program:sleeper]\ncommand=/bin/sleep 3600\nuser=nobody\n"
    with RealFleet(tmp_path, {"web1": config}) as fleet:
        agent = fleet.agents["web1"]
        gateway, child = agent.hello()["gateway_pid"], agent.wait_state("sleeper", "RUNNING")["pid"]
        assert sorted(os.listdir(f"/proc/{child}/fd")) == ["0", "1", "2"]
        key = Path(fleet.pki.agents["web1"].key).read_bytes().splitlines()[1]
        for pid in (gateway, child, agent.hello()["supervisor_pid"], agent.keeper.pid if agent.keeper else 0):
            for place in ("cmdline", "environ"):
                assert key not in Path(f"/proc/{pid}/{place}").read_bytes()
        for pid in (gateway, agent.hello()["supervisor_pid"]):
            (limit,) = [
                line.split()
                for line in Path(f"/proc/{pid}/limits").read_text().splitlines()
                if line.startswith("Max core")
            ]
            assert limit[4:6] == ["0", "0"], "what is in memory comes to no disk"
        run = agent.state_dir / "run"
        assert [path.stat().st_mode & 0o777 for path in (agent.state_dir, run)] == [0o700, 0o700]
        private = ("active.json", "results", "inflight", "door.sock", "journal/journal.1")
        assert {name: (run / name).stat().st_mode & 0o077 for name in private} == dict.fromkeys(private, 0)
        for path in tmp_path.glob("web1/**/*"):
            if path.is_file():
                assert key not in path.read_bytes(), path


def test_a_child_that_meddles_with_its_streams_harms_itself_alone(tmp_path: Path) -> None:
    config = "".join(
        f"[program:{name}]\ncommand={command}\nstdout_logfile={tmp_path}/{name}.log\nstopsignal=KILL\n"
        for name, command in {
            "meddler": program("meddles_with_streams"),
            "good": f"/bin/sh -c 'while :; do echo line; sleep 0.01; done; : {tmp_path}'",
        }.items()
    )
    with RealAgent(tmp_path / "agent", config) as agent:
        pids = {name: agent.wait_state(name, "RUNNING")["pid"] for name in ("meddler", "good")}
        wait_for(lambda: b"meddled\n" in (tmp_path / "meddler.log").read_bytes(), what="its last word")
        agent.wait_replaced(agent.kill_supervisor())
        before = (tmp_path / "good.log").stat().st_size
        wait_for(lambda: (tmp_path / "good.log").stat().st_size > before, what="lines of the other")
        assert {name: agent.row(name)["pid"] for name in pids} == pids
        assert set((tmp_path / "good.log").read_text().split()) == {"line"}
        outcomes = agent.operate("stop", "all")["outcomes"]
        assert [outcome["result"] for outcome in outcomes] == ["ok", "ok"]
