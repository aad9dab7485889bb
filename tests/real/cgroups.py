"""Whether this host lets the tests use cgroup v2, and what agents have left of it."""

import os
import time
from pathlib import Path

import pytest
from fleet_agent.supervisor.trees import cgroups
from fleet_agent.supervisor.trees.trees import agent_mark

SWEEP_SECONDS = 1.0
OLD_SECONDS = 60.0


def why_not() -> str:
    """Why no agent started here may use cgroup v2; empty when it may."""
    try:
        home = cgroups.Home(cgroups.find_place(), f"test-of-tests-{os.getpid()}")
        home.make()
    except cgroups.Unusable as reason:
        return str(reason)
    home.leave()
    return ""


WHY_NOT = why_not()
needs_cgroups = pytest.mark.skipif(bool(WHY_NOT), reason=f"no cgroup v2 to use: {WHY_NOT}")
WAYS = [
    pytest.param("cgroups=true", marks=needs_cgroups, id="cgroups"),
    pytest.param("cgroups=false", id="proc"),
]
"""Both ways to find descendants, as lines of [fleet]."""


def sweep(runtime: Path) -> None:
    """Remove the cgroups of an agent that was killed; who still lives keeps theirs."""
    if WHY_NOT or not runtime.exists():
        return
    home = cgroups.Home(cgroups.find_place(), agent_mark(str(runtime)))
    deadline = time.monotonic() + SWEEP_SECONDS
    home.leave()
    while os.path.exists(home.path) and time.monotonic() < deadline:
        time.sleep(0.01)
        home.leave()


def sweep_old() -> None:
    """Remove what agents have left that were killed: the empty cgroups of all of them, save young ones."""
    if WHY_NOT:
        return
    place = Path(cgroups.find_place())
    for folder in place.glob("fleet-agent.*"):
        if not cgroups.is_populated(str(folder)) and time.time() - folder.stat().st_mtime > OLD_SECONDS:
            cgroups.remove(str(folder))


def folders_of(agent: str) -> list[Path]:
    """The cgroups of an agent by its mark: its folder, and those of its runs."""
    if WHY_NOT:
        return []
    home = Path(cgroups.Home(cgroups.find_place(), agent).path)
    return [home, *home.glob("run-*")] if home.exists() else []
