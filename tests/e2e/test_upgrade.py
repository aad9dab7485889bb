"""`fleet-agent upgrade` under programs that write: theirs goes on, and what fails changes nothing."""

import json
import subprocess
import time
from pathlib import Path

import grpc
from fleet_agent.keeper.fingerprint import fingerprint
from fleet_api.errors import FleetError
from fleet_api.v1 import agent_pb2, agent_pb2_grpc, types_pb2
from real.agent import AGENT, RealAgent, program
from real.upgrades import Asker, lines_are_whole, lives, other_version, upgrade, writers
from real.waiting import wait_for

WRITERS = 20


def test_the_same_version_takes_over(tmp_path: Path) -> None:
    with RealAgent(tmp_path, writers(tmp_path, WRITERS)) as agent:
        for number in range(WRITERS):
            agent.wait_state(f"w{number}", "RUNNING")
        before, hello = lives(agent), agent.hello()
        with Asker(agent, WRITERS) as asker:
            done = upgrade(agent)
        assert done.returncode == 0, done.stderr
        assert "supervisor and gateway" in done.stdout
        assert asker.failures == []
        assert asker.asked > 10
        after = agent.hello()
        assert after["pid"] == hello["pid"]
        assert after["supervisor_pid"] != hello["supervisor_pid"]
        assert lives(agent) == before
        agent.operate("stop", "all")
        for number in range(WRITERS):
            assert lines_are_whole(tmp_path / f"w{number}.out")


def test_another_version_with_another_keeper_takes_over_and_back(tmp_path: Path) -> None:
    venv = other_version(tmp_path, keeper="import os as _of_another_version")
    with RealAgent(tmp_path, writers(tmp_path, WRITERS)) as agent:
        for number in range(WRITERS):
            agent.wait_state(f"w{number}", "RUNNING")
        before, keeper = lives(agent), agent.hello()["pid"]
        with Asker(agent, WRITERS) as asker:
            done = upgrade(agent, "--to", str(venv))
            assert done.returncode == 0, done.stderr
            assert "to 99.0: supervisor, gateway and keeper" in done.stdout
            hello = agent.hello()
            assert (hello["version"], hello["pid"]) == ("99.0", keeper)
            assert lives(agent) == before
            assert str(venv) in Path(f"/proc/{keeper}/cmdline").read_text()
            back = upgrade(agent)
            assert back.returncode == 0, back.stderr
        assert asker.failures == []
        assert agent.hello()["version"] != "99.0"
        assert lives(agent) == before
        agent.operate("restart", "w0")
        assert agent.row("w0")["run"] == before["w0:w0"][1] + 1
        agent.operate("stop", "all")
        for number in range(1, WRITERS):
            assert lines_are_whole(tmp_path / f"w{number}.out")


def test_ends_stops_and_pauses_go_on_through_an_upgrade(tmp_path: Path) -> None:
    venv = other_version(tmp_path, keeper="import os as _of_another_version")
    ending = "".join(
        f"[program:e{number}]\ncommand=/bin/sh -c 'sleep {number * 0.05:.2f}; exit {number + 1}'\n"
        "startsecs=0\nautorestart=false\nautostart=false\n"
        for number in range(30)
    )
    config = (
        f"{ending}[program:stubborn]\ncommand={program('ignores_term')}\nstopwaitsecs=3\n"
        "[program:failing]\ncommand=/bin/sh -c 'exit 1'\nstartretries=3\n"
    )
    with RealAgent(tmp_path, config) as agent:
        agent.wait_state("stubborn", "RUNNING")
        agent.wait_state("failing", "BACKOFF")
        agent.operate("start", "e*", wait=False)
        asked = time.monotonic()
        agent.operate("stop", "stubborn", wait=False)
        done = upgrade(agent, "--to", str(venv))
        assert done.returncode == 0, done.stderr
        for number in range(30):
            row = agent.wait_state(f"e{number}", "EXITED")
            assert row["exit"] is not None
            assert row["exit"]["code"] == number + 1
        row = agent.wait_state("stubborn", "STOPPED")
        assert time.monotonic() - asked >= 3
        assert wait_for(agent.activity, lambda text: "SIGKILL" in text, what="SIGKILL in the log")
        # Retries come after 1, 2 and 3 s; none is lost or repeated by the upgrade.
        row = agent.wait_state("failing", "FATAL", seconds=30)
        assert row["run"] == 4


def test_a_version_that_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    venv = other_version(tmp_path)
    site = next((venv / "lib").glob("python*/site-packages"))
    (site / "fleet_agent" / "supervisor" / "agent.py").write_text("import nothing_that_there_is\n")
    with RealAgent(tmp_path, writers(tmp_path, 1)) as agent:
        agent.wait_state("w0", "RUNNING")
        before, supervisor = lives(agent), agent.hello()["supervisor_pid"]
        done = upgrade(agent, "--to", str(venv))
        assert done.returncode == 1
        assert "nothing_that_there_is" in done.stderr
        assert agent.hello()["supervisor_pid"] == supervisor
        assert lives(agent) == before


def test_a_version_that_dies_before_it_serves_is_given_up(tmp_path: Path) -> None:
    venv = other_version(tmp_path, "import sys\nif '--link-fd' in sys.argv:\n    sys.exit(9)\n")
    with RealAgent(tmp_path, writers(tmp_path, 1)) as agent:
        agent.wait_state("w0", "RUNNING")
        before, supervisor = lives(agent), agent.hello()["supervisor_pid"]
        done = upgrade(agent, "--to", str(venv))
        assert done.returncode == 1
        assert "its supervisor exited with code 9" in done.stderr
        assert agent.hello()["supervisor_pid"] == supervisor
        assert lives(agent) == before


def test_a_version_that_dies_young_gives_way_to_the_one_before(tmp_path: Path) -> None:
    dying = "import os, threading\nthreading.Timer(1.0, lambda: os._exit(5)).start()\n"
    venv = other_version(tmp_path, dying, "import os as _of_another_version")
    with RealAgent(tmp_path, writers(tmp_path, 1)) as agent:
        agent.wait_state("w0", "RUNNING")
        before, hello = lives(agent), agent.hello()
        upgrade(agent, "--to", str(venv))

        def is_back() -> bool:
            try:
                now = agent.hello()
            except FleetError:
                return False
            return bool(
                now["version"] == hello["version"] and now["supervisor_pid"] != hello["supervisor_pid"]
            )

        wait_for(is_back, what="the version before", seconds=30)
        assert agent.hello()["pid"] == hello["pid"]
        assert lives(agent) == before
        assert str(venv) not in Path(f"/proc/{hello['pid']}/cmdline").read_text()
        assert agent.ask("upgrade_result")["result"] == "failed"


def test_what_is_no_version_is_refused(tmp_path: Path) -> None:
    with RealAgent(tmp_path, writers(tmp_path, 1)) as agent:
        assert "is no program that can be run" in upgrade(agent, "--to", str(tmp_path)).stderr
        fake = tmp_path / "fake" / "bin" / "python"
        fake.parent.mkdir(parents=True)
        fake.write_text("#!/bin/sh\necho gibberish\n")
        fake.chmod(0o755)
        assert "its trial did not end as it should" in upgrade(agent, "--to", str(tmp_path / "fake")).stderr
        fake.parent.chmod(0o777)
        assert "UPGRADE_UNSAFE" not in upgrade(agent, "--to", str(tmp_path / "fake")).stdout
        assert "can change" in upgrade(agent, "--to", str(tmp_path / "fake")).stderr


def test_the_call_over_the_network(tmp_path: Path) -> None:
    config = "[fleet]\nhost_id=web1\nlisten=127.0.0.1:0\ninsecure_plaintext=true\n"
    with RealAgent(tmp_path, config + writers(tmp_path, 3)) as agent:
        agent.wait_state("w2", "RUNNING")
        before, hello = lives(agent), agent.hello()
        address = wait_for(lambda: agent.endpoint()["grpc"], what="an address")

        def ask(call: str, request: object) -> agent_pb2.Upgrade:
            with grpc.insecure_channel(address) as channel:
                stub = agent_pb2_grpc.AgentServiceStub(channel)
                answer: agent_pb2.Upgrade = getattr(stub, call)(request, timeout=30, wait_for_ready=True)
                return answer

        context = types_pb2.OperationContext(idempotency_key="u1", actor="ann")
        begun = ask("UpgradeAgent", agent_pb2.UpgradeAgentRequest(context=context))
        assert begun.result == agent_pb2.Upgrade.SWITCHING

        def ended() -> agent_pb2.Upgrade | None:
            try:
                found = ask("GetUpgrade", agent_pb2.GetUpgradeRequest(idempotency_key="u1"))
            except grpc.RpcError:
                return None
            return found if found.result != agent_pb2.Upgrade.SWITCHING else None

        upgrade = wait_for(ended, what="the end of the upgrade", seconds=30)
        assert upgrade is not None
        assert (upgrade.result, upgrade.actor) == (agent_pb2.Upgrade.DONE, "anonymous/ann")
        assert agent.hello()["supervisor_pid"] != hello["supervisor_pid"]
        assert lives(agent) == before
        again = ask("UpgradeAgent", agent_pb2.UpgradeAgentRequest(context=context))
        assert again.result == agent_pb2.Upgrade.DONE, "the same key is the same upgrade"


def test_without_an_agent(tmp_path: Path) -> None:
    done = subprocess.run(
        [*AGENT, "upgrade", "--state-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "no agent runs here" in done.stderr


def test_the_record_tells_versions_and_result(tmp_path: Path) -> None:
    with RealAgent(tmp_path, writers(tmp_path, 1)) as agent:
        assert upgrade(agent).returncode == 0
        record = json.loads((agent.state_dir / "run" / "upgrade.json").read_text())
        assert (record["result"], record["replaces_keeper"]) == ("done", False)
        assert record["ended"] >= record["began"] > 0
        assert len(fingerprint()) > 16
