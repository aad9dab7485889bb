"""Facts of a host with which nothing is wrong, to be spoilt one by one."""

from fleet_agent.config.settings import AgentConfig, DaemonSettings, FleetSettings
from fleet_agent.core.model import GroupSpec, LogSpec, ProcessSpec
from fleet_agent.host.check import Check, Verdict
from fleet_agent.host.facts import ControlGroup, Facts, Folder, Kernel, Limits, Service, Unit

GIB = 1 << 30
SPEC = ProcessSpec("web", "web", "/bin/web", stdout=LogSpec("/var/log/a"), stderr=LogSpec("/var/log/b"))
UNIT = Unit(
    "/etc/systemd/system/fleet-agent.service",
    True,
    "{ argv[]=/bin/fleet-agent run -c /etc/a.conf }",
    "/opt/fleet",
    "notify",
    "process",
    90.0,
    True,
    524288,
)


def config(*specs: ProcessSpec, **fleet: str) -> AgentConfig:
    settings = FleetSettings()._replace(**fleet)  # type: ignore[arg-type]
    return AgentConfig("/etc/a.conf", DaemonSettings(), settings, (GroupSpec("web", 999, specs or (SPEC,)),))


def folder(path: str) -> Folder:
    return Folder(path, path, 0, 0o700, "ext4", True, GIB, 1_000_000)


GOOD = Facts(
    uid=0,
    keeper=77,
    answers=True,
    environment="/opt/fleet",
    kernel=Kernel("Linux", "6.18.1-amd64", frozenset({"pidfd", "memfd", "reuseport", "fifo"})),
    group=ControlGroup("/sys/fs/cgroup/agent/fleet-agent.leaf", True, frozenset({"memory", "pids"})),
    limits=Limits("of the agent", 524288, None, None, 4194304),
    state=folder("/var/lib/fleet-agent"),
    runtime=folder("/run/fleet-agent")._replace(kind="tmpfs"),
    logs=(folder("/var/log"),),
    service=Service(True, UNIT, "", None, True),
    configuration="/etc/a.conf",
    problems=(),
    config=config(listen="0.0.0.0:7601"),
    gateway_user="fleet-agent",
    login_users=(),
    port_problem="",
    encoding="utf-8",
    is_clock_synchronized=True,
)


def complaint(checks: list[Check]) -> Check:
    """The only check that is not ok; it says what it means and what to do."""
    bad = [check for check in checks if check.verdict is not Verdict.OK]
    assert len(bad) == 1, bad
    assert bad[0].meaning
    assert bad[0].cure
    return bad[0]
