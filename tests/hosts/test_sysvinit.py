"""The init script under a real sysvinit: boot, restart, shutdown. Run by `make hosts`."""

from collections.abc import Iterator

import pytest
from hosts.machine import AGENT, Machine, why_not
from hosts.test_systemd import CONFIGURATION, is_alive, order, pids

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "never"),
    pytest.mark.timeout(300),
]

SCRIPT = "/etc/init.d/fleet-agent"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("host"), "sysvinit") as machine:
        machine.install()
        machine.write("/etc/fleet/agent.conf", CONFIGURATION)
        machine.boot()
        machine.run(f"{AGENT} init-script -c /etc/fleet/agent.conf > {SCRIPT}; chmod +x {SCRIPT}")
        machine.run("update-rc.d fleet-agent defaults")
        machine.run("service fleet-agent start")
        yield machine


def test_restart_and_stop_leave_the_programs_alone(host: Machine) -> None:
    before = pids(host)
    assert "started" in host.run("service fleet-agent restart")
    assert pids(host) == before
    assert "the programs run on" in host.run("service fleet-agent stop")
    assert all(is_alive(host, pid) for pid in before.values())
    assert "no agent runs" in host.run("service fleet-agent status", check=False)
    host.run("service fleet-agent start")
    assert pids(host) == before


def test_at_a_shutdown_all_stop_in_order_and_at_boot_they_start(host: Machine) -> None:
    pids(host)
    host.run("truncate -s 0 /var/log/order")
    host.power_off()
    assert order(host) == ["web stopped", "db stopped"]
    host.boot()
    pids(host)
    assert sorted(order(host)[2:]) == ["db started", "web started"]
