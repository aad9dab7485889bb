"""How an installation is started, and how long its ordered stop may take."""

import os

import pytest
from fleet_agent.core.model import GroupSpec, ProcessSpec
from fleet_agent.host.installation import SLACK_SECONDS, Installation, agent_command, stop_seconds

pytestmark = pytest.mark.pure


def group(name: str, priority: int, *waits: int) -> GroupSpec:
    specs = [
        ProcessSpec(group=name, name=str(number), command="x", stopwaitsecs=wait)
        for number, wait in enumerate(waits)
    ]
    return GroupSpec(name, priority, tuple(specs))


def test_the_command_stays_as_it_was_called() -> None:
    assert agent_command("/opt/fleet/current/bin/fleet-agent", "/py") == (
        "/opt/fleet/current/bin/fleet-agent",
    )
    assert agent_command("bin/fleet-agent", "/py") == (os.path.abspath("bin/fleet-agent"),)
    assert agent_command("/x/fleet_agent/main.py", "/py") == ("/py", "-P", "-m", "fleet_agent.main")


def test_waves_follow_each_other_and_each_waits_for_its_most_patient() -> None:
    groups = [group("a", 1, 10, 200), group("b", 1, 300), group("c", 999, 5), group("d", 1000)]
    assert stop_seconds(groups) == SLACK_SECONDS + 300 + 5
    assert stop_seconds([]) == SLACK_SECONDS


def test_a_place_of_its_own_is_named_everywhere() -> None:
    installation = Installation(("/bin/fleet-agent",), "/etc/a.conf", "/srv/state", 60, True)
    assert installation.run == ["/bin/fleet-agent", "run", "-c", "/etc/a.conf", "--state-dir", "/srv/state"]
    assert installation._replace(state_dir="").run == ["/bin/fleet-agent", "run", "-c", "/etc/a.conf"]
