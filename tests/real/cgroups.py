"""Whether this host lets the tests use cgroup v2, and what agents have left of it."""

from pathlib import Path

import pytest
from fleet_agent.supervisor.trees import cgroups


def why_not() -> str:
    """Why no agent started here may use cgroup v2; empty when it may."""
    try:
        home = cgroups.Home(cgroups.find_place(), "test-of-tests")
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


def folders_of(agent: str) -> list[Path]:
    """The cgroups of an agent by its mark: its folder, and those of its runs."""
    if WHY_NOT:
        return []
    home = Path(cgroups.Home(cgroups.find_place(), agent).path)
    return [home, *home.glob("run-*")] if home.exists() else []
