"""Upgrades in a row, keeper and all, under programs that write.

Longer ones on request: `FLEET_UPGRADES=100 FLEET_WRITERS=200 pytest tests/e2e/test_many_upgrades.py`.
"""

import os
from pathlib import Path

from real.agent import RealAgent
from real.upgrades import Asker, lines_are_whole, lives, other_version, upgrade, writers

UPGRADES = int(os.environ.get("FLEET_UPGRADES", "6"))
WRITERS = int(os.environ.get("FLEET_WRITERS", "30"))


def test_nobody_notices_upgrades_in_a_row(tmp_path: Path) -> None:
    venv = other_version(tmp_path, keeper="import os as _of_another_version")
    with RealAgent(tmp_path, writers(tmp_path, WRITERS)) as agent:
        for number in range(WRITERS):
            agent.wait_state(f"w{number}", "RUNNING", seconds=60)
        before, keeper = lives(agent), agent.hello()["pid"]
        supervisors = {agent.hello()["supervisor_pid"]}
        with Asker(agent, WRITERS) as asker:
            for number in range(UPGRADES):
                # Twice to each: once with the keeper, once without.
                there = number % 4 < 2
                done = upgrade(agent, *(["--to", str(venv)] if there else []))
                assert done.returncode == 0, f"upgrade {number + 1}: {done.stderr}"
                assert ("and keeper" in done.stdout) is (number % 2 == 0), done.stdout
                hello = agent.hello()
                assert (hello["pid"], hello["version"] == "99.0") == (keeper, there)
                supervisors.add(hello["supervisor_pid"])
        assert asker.failures == []
        assert len(supervisors) == UPGRADES + 1
        assert lives(agent) == before
        assert len(os.listdir(f"/proc/{keeper}/fd")) < 100, "descriptors do not pile up"
        agent.operate("stop", "all")
        broken = [number for number in range(WRITERS) if not lines_are_whole(tmp_path / f"w{number}.out")]
        assert broken == []
