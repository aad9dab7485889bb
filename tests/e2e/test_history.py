"""No change is lost in silence: over kills, ends and boots each is resumed by number, or the gap is told."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fleet_api.errors import FleetError
from fleet_api.rows import PositionRow
from real.agent import RealAgent, alive, program
from real.fleet import IMPATIENT, RealFleet
from real.waiting import wait_for

TICKING = f"[program:tick]\ncommand={program('exits_after', 0.15, 1)}\nstartsecs=0\nautorestart=true\n"
QUIET = f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"


class Witness:
    """Watches through the door as a client does, and resumes where it was cut off."""

    def __init__(self, agent: RealAgent) -> None:
        self._agent = agent
        self.position: PositionRow = agent.hello()["position"]
        self.gaps: list[str] = []
        self.changes = 0

    def watch(self, until: Callable[[dict[str, Any]], bool], seconds: float = 20.0) -> dict[str, Any]:
        """Take what comes until an item is as wanted: every number is the next, or a gap was told."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with self._agent.door() as door:
                    for item, _ in door.stream("watch", after=self.position, timeout_seconds=seconds):
                        self._take(item)
                        if until(item):
                            return item
            except FleetError:
                continue
        raise AssertionError("what was waited for never came")

    def _take(self, item: dict[str, Any]) -> None:
        if "gap" in item:
            self.gaps.append(item["gap"]["reason"])
        elif "snapshot" in item:
            assert self.gaps, "a snapshot comes after a gap alone"
            self.position = item["position"]
        else:
            assert item["event"]["sequence"] == self.position["sequence"] + 1
            self.position = {**self.position, "sequence": item["event"]["sequence"]}
            self.changes += 1

    def watch_changes(self, count: int) -> None:
        """Take so many changes."""
        until = self.changes + count
        self.watch(lambda _: self.changes >= until)


def kill_all(agent: RealAgent) -> None:
    """SIGKILL of keeper, supervisor and gateway, the children live on."""
    hello = agent.hello()
    pids = [hello[name] for name in ("pid", "supervisor_pid", "gateway_pid") if hello[name]]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert agent.keeper is not None
    agent.keeper.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids), what="the end of the agent")


def boot(agent: RealAgent) -> None:
    """As if the host had been booted: the children are gone, and whatever names the boot names another.

    Each child must have its record.
    """
    for pid in list(agent.child_pids()):
        if alive(pid):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: not alive(pid), what="the end of a child")  # type: ignore[misc]
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    for path in (agent.state_dir / "run").rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if boot_id.encode() in data:
                path.write_bytes(data.replace(boot_id.encode(), b"0" * len(boot_id)))


@pytest.mark.timeout(180)
def test_each_change_comes_once_over_kills_and_ordered_ends(tmp_path: Path) -> None:
    with RealAgent(tmp_path, TICKING) as agent:
        witness = Witness(agent)
        incarnation = witness.position["incarnation"]
        witness.watch_changes(5)
        agent.wait_replaced(agent.kill_supervisor())
        witness.watch_changes(5)
        kill_all(agent)
        agent.start()
        witness.watch_changes(5)
        agent.end()
        agent.start()
        witness.watch(lambda item: item["event"]["reason"] == "autostart")
        assert witness.gaps == []
        assert witness.position["incarnation"] == incarnation


@pytest.mark.timeout(180)
def test_numbers_go_on_over_a_boot_after_an_ordered_end(tmp_path: Path) -> None:
    with RealAgent(tmp_path, QUIET) as agent:
        before = agent.wait_state("web", "RUNNING")
        witness = Witness(agent)
        agent.end()
        assert (tmp_path / "state" / "journal").is_dir()
        # The runtime folder is in memory on most hosts.
        for path in sorted((tmp_path / "state" / "run").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        agent.start()
        item = witness.watch(lambda item: item["event"]["process"]["state"] == "RUNNING")
        assert witness.gaps == []
        assert item["event"]["process"]["run"] == before["run"] + 1
        assert not (tmp_path / "state" / "journal").exists()


@pytest.mark.timeout(180)
def test_state_of_another_boot_is_recognised(tmp_path: Path) -> None:
    with RealAgent(tmp_path, QUIET) as agent:
        before = agent.wait_state("web", "RUNNING")
        agent.operate("restart", "web")
        pid = agent.row("web")["pid"]
        wait_for(lambda: pid in agent.child_pids(), what="its record")
        witness = Witness(agent)
        kill_all(agent)
        boot(agent)
        # Whoever has the pid now is no child of ours, however much it looks like it.
        sleeper = subprocess.Popen(["sleep", "3600"])
        try:
            stranger = sleeper.pid
            (record,) = (agent.state_dir / "run" / "runs").glob("*.json")
            state = json.loads(record.read_text())
            ticks = int(Path(f"/proc/{stranger}/stat").read_text().rpartition(")")[2].split()[19])
            record.write_text(json.dumps({**state, "pid": stranger, "ticks": ticks}))
            agent.start()
            row = agent.wait_state("web", "RUNNING")
            assert (row["run"], row["pid"] != stranger) == (before["run"] + 2, True)
            witness.watch(lambda item: "snapshot" in item)
            assert witness.gaps == [
                "numbering has begun anew since then: the host went down while the agent ran"
            ]
            agent.wait_told("changes are numbered anew: the host went down")
            agent.operate("stop", "web")
            agent.end()
            assert alive(stranger)
        finally:
            sleeper.kill()
            sleeper.wait()


@pytest.mark.timeout(240)
def test_the_controller_hears_every_change_or_tells_of_the_gap(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {"web1": TICKING}, settings=IMPATIENT) as fleet:
        agent = fleet.agents["web1"]

        def sequence() -> int:
            (host,) = fleet.ctl("status", "-H", "web1", "-o", "json").json["hosts"]
            return int((host["position"] or {"sequence": 0})["sequence"])

        def gaps() -> dict[str, Any]:
            (host,) = fleet.ctl("hosts", "-o", "json").json["hosts"]
            found: dict[str, Any] = host["gaps"]
            return found

        def caught_up() -> bool:
            return sequence() >= int(agent.hello()["position"]["sequence"]) - 5

        wait_for(caught_up, what="the controller follows", seconds=30)
        for kill in (agent.kill_gateway, agent.kill_supervisor):
            kill()
            wait_for(agent.rows, what="the agent answers")
            wait_for(caught_up, what="the controller follows again", seconds=30)
        kill_all(agent)
        agent.start()
        fleet.write_inventory(fleet.agents)
        wait_for(caught_up, what="the controller follows the next agent", seconds=30)
        assert gaps()["number"] == 0
        agent.operate("stop", "tick")
        kill_all(agent)
        boot(agent)
        agent.start()
        fleet.write_inventory(fleet.agents)
        told = wait_for(gaps, lambda found: found["number"] > 0, 30, "the gap is told")
        assert "the host went down while the agent ran" in told["last_reason"]
        log = fleet.controller.log.read_text()
        assert re.search("changes were missed.*the host went down while the agent ran", log)
