"""The agent's unit under a real systemd, from boot to power failure. Run by `make hosts`."""

from collections.abc import Iterator
from typing import Any

import pytest
from hosts.machine import AGENT, Machine, why_not
from real.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "never"),
    pytest.mark.timeout(300),
]

NAMES = ("db", "lines", "web")
# Each says in a file when it begins and when it was asked to end; `sync`, since a power failure follows.
LIFE = "trap 'echo {0} stopped >>/var/log/order; sync; exit 0' TERM; echo {0} started >>/var/log/order; sync"
CONFIGURATION = f"""\
[supervisord]
logfile=/var/log/fleet-agent.log
[program:db]
command=/bin/sh -c "{LIFE.format("db")}; while :; do sleep 0.1; done"
priority=5
[program:web]
command=/bin/sh -c "{LIFE.format("web")}; while :; do sleep 0.1; done"
stopwaitsecs=70
[program:lines]
command=/bin/sh -c "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"
user=nobody
stdout_logfile=/var/log/lines.log
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(tmp_path_factory.mktemp("host")) as machine:
        machine.install()
        machine.write("/etc/fleet/agent.conf", CONFIGURATION)
        machine.boot()
        machine.run(f"{AGENT} unit -c /etc/fleet/agent.conf > /etc/systemd/system/fleet-agent.service")
        machine.run("systemctl daemon-reload && systemctl enable --now fleet-agent")
        yield machine


def pids(host: Machine) -> dict[str, int]:
    """The pid of each program, once all run."""
    rows: list[dict[str, Any]] = wait_for(
        lambda: host.ask("status").get("processes", []),
        lambda rows: len(rows) == len(NAMES) and all(row["state"] == "RUNNING" for row in rows),
        seconds=60,
        what="all programs running",
    )
    return {row["name"]: row["pid"] for row in rows}


def is_alive(host: Machine, pid: int) -> bool:
    return host.run(f"kill -0 {pid} && echo yes", check=False).strip() == "yes"


def order(host: Machine) -> list[str]:
    """What the programs wrote when they began and when they were asked to end."""
    return (host.root / "var/log/order").read_text().splitlines()


def keeper(host: Machine) -> int:
    return int(host.unit("MainPID"))


def test_it_is_up_when_systemd_says_so(host: Machine) -> None:
    assert host.unit("ActiveState") == "active"
    hello = host.ask("hello")
    assert hello["pid"] == keeper(host)
    assert host.unit("StatusText") == f"supervising (supervisor pid {hello['supervisor_pid']})"
    for pid in (*pids(host).values(), hello["supervisor_pid"]):
        assert "NOTIFY_SOCKET" not in host.run(f"tr '\\0' '\\n' < /proc/{pid}/environ")


def test_the_unit_keeps_what_doctor_asks_of_it(host: Machine) -> None:
    assert "TimeoutStopUSec=1min 50s" in host.run("systemctl show fleet-agent")
    said = host.run(f"{AGENT} doctor -c /etc/fleet/agent.conf", check=False)
    assert "ok       service" in said
    assert "missing" not in said


def test_restart_stop_and_start_leave_the_programs_alone(host: Machine) -> None:
    before, agent = pids(host), keeper(host)
    host.run("systemctl restart fleet-agent")
    assert keeper(host) != agent
    assert pids(host) == before
    host.run("systemctl stop fleet-agent")
    assert host.unit("ActiveState") == "inactive"
    assert host.unit("Result") == "success"
    assert all(is_alive(host, pid) for pid in before.values())
    host.run("systemctl start fleet-agent")
    assert pids(host) == before


def test_a_stop_whose_command_fails_detaches_all_the_same(host: Machine) -> None:
    before = pids(host)
    with host.drop_in({"ExecStop": "\nExecStop=/bin/false"}):
        host.run("systemctl stop fleet-agent", check=False)
        assert host.unit("MainPID") == "0"
        assert all(is_alive(host, pid) for pid in before.values())
        host.run("systemctl start fleet-agent")
    assert pids(host) == before


@pytest.mark.parametrize("which", ["keeper", "supervisor", "both"])
def test_what_is_killed_comes_back_and_finds_its_programs(host: Machine, which: str) -> None:
    before, hello = pids(host), host.ask("hello")
    killed = {
        "keeper": [hello["pid"]],
        "supervisor": [hello["supervisor_pid"]],
        "both": [hello["pid"], hello["supervisor_pid"]],
    }
    # A supervisor leaves at once when its keeper is gone: of both, the second may have ended by itself.
    host.run("kill -9 " + " ".join(map(str, killed[which])), check=which != "both")
    wait_for(
        lambda: host.ask("hello").get("supervisor_pid", hello["supervisor_pid"]),
        lambda pid: pid != hello["supervisor_pid"],
        seconds=30,
        what="another supervisor",
    )
    assert (keeper(host) == hello["pid"]) == (which == "supervisor")
    assert pids(host) == before


def test_a_stopped_supervisor_is_replaced_by_the_keeper_and_a_stopped_keeper_by_systemd(
    host: Machine,
) -> None:
    before = pids(host)
    with host.drop_in({"WatchdogSec": "6"}):
        hello = host.ask("hello")
        host.run(f"kill -STOP {hello['supervisor_pid']}")
        wait_for(
            lambda: host.ask("hello").get("supervisor_pid", hello["supervisor_pid"]),
            lambda pid: pid != hello["supervisor_pid"],
            seconds=30,
            what="another supervisor",
        )
        assert keeper(host) == hello["pid"]
        assert host.unit("NRestarts") == "0"
        host.run(f"kill -STOP {hello['pid']}")
        wait_for(lambda: host.unit("NRestarts"), lambda count: count == "1", seconds=60, what="a restart")
        assert "watchdog" in host.run("journalctl -u fleet-agent -o cat --no-pager")
        assert pids(host) == before
    assert pids(host) == before


def test_no_line_was_lost_in_all_that(host: Machine) -> None:
    pids(host)
    count = len(host.run("cat /var/log/lines.log").splitlines())
    wait_for(lambda: len(host.run("cat /var/log/lines.log").splitlines()) > count, what="further lines")
    lines = host.run("cat /var/log/lines.log").splitlines()[:count]
    assert lines == [str(number) for number in range(count)]


def test_what_was_asked_to_end_stays_ended(host: Machine) -> None:
    before = pids(host)
    assert "everything is stopped" in host.run("fleet-agent stop")
    wait_for(lambda: host.unit("ActiveState"), lambda state: state == "inactive", what="an inactive unit")
    assert not any(is_alive(host, pid) for pid in before.values())
    assert host.unit("NRestarts") == "0"
    host.run("systemctl start fleet-agent")
    pids(host)


def test_at_a_shutdown_all_stop_in_order_and_at_boot_they_start(host: Machine) -> None:
    pids(host)
    host.run("truncate -s 0 /var/log/order")
    host.power_off()
    assert order(host) == ["web stopped", "db stopped"]
    assert "stopped: db" in (host.root / "var/log/fleet-agent.log").read_text()
    host.boot()
    pids(host)
    assert order(host)[:2] == ["web stopped", "db stopped"]
    assert sorted(order(host)[2:]) == ["db started", "web started"]


def test_after_a_power_failure_all_start_anew(host: Machine) -> None:
    pids(host)
    host.crash()
    (host.root / "var/log/order").write_text("")
    host.boot()
    pids(host)
    assert sorted(order(host)) == ["db started", "web started"]
    assert host.unit("NRestarts") == "0"
