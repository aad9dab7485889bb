"""Children are killed when they have been up long enough, so many times as is asked for."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import daemon
import pytest
from acts import wait_until
from daemon import Programs
from endurance import restart
from fleet_daemon import FleetAgent


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetAgent]:
    child = f"{sys.executable} -I -S {Path(daemon.__file__).parent / 'child.py'}"
    fleet = FleetAgent(tmp_path / "fleet", child, Programs(4), tmp_path / "state")
    with fleet.acts:
        fleet.start_all()
        yield fleet
        fleet.close()


def test_so_many_are_restarted(fleet: FleetAgent) -> None:
    before = {number: act.pid for number, act in fleet.acts.began.items()}
    restart(fleet, 6, random.Random(1))
    wait_until(fleet.is_settled, 10.0, "all running")
    after = fleet.rows()
    assert all(after[number].pid != pid for number, pid in before.items())
    runs = {row["name"]: row["run"] for row in fleet.ask("status", terms=[])["processes"]}
    assert sum(runs.values()) == 4 + 6
