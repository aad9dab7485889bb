"""fleetctl, a real controller and real agents: what an operator sees and does."""

import json
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fleet_api.rows import ProcessRow
from real.agent import RealAgent, program
from real.fleet import BIN, IMPATIENT, Done, RealFleet
from real.processes import MARK, processes_of
from real.waiting import wait_for

LASTS = program("exits_after", 3600, 0)
COMMON = (
    f"[program:web]\ncommand={LASTS}\nstartsecs=0\nautorestart=true\n"
    f"[program:worker]\ncommand={LASTS}\nstartsecs=0\nnumprocs=2\n"
    "process_name=%(program_name)s_%(process_num)02d\n"
    f"[program:idle]\ncommand={LASTS}\nstartsecs=0\nautostart=false\n"
)
BROKEN = "[program:broken]\ncommand=/nowhere/at/all\nstartretries=0\n"
CONFIGS = {"db1": COMMON + BROKEN, "web1": COMMON, "web2": COMMON}
GROUPS = {"front": ["web1", "web2"], "back": ["db1"]}
WORKERS = ("worker:worker_00", "worker:worker_01")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealFleet]:
    """One fleet for all tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("fleet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MARK, str(folder))
        fleet = RealFleet(folder, CONFIGS, GROUPS)
        fleet.__enter__()
    try:
        settle(fleet)
        yield fleet
    finally:
        fleet.__exit__(None, None, None)
        assert not processes_of(folder)


def settle(fleet: RealFleet) -> None:
    """Wait until the controller tells of every process what was meant."""

    def is_settled() -> bool:
        hosts = fleet.ctl("status", "--all-hosts", "-o", "json").json["hosts"]
        states = [row["state"] for host in hosts for row in host["processes"]]
        return sorted(states) == sorted(["FATAL"] + ["RUNNING"] * 9 + ["STOPPED"] * 3)

    wait_for(is_settled, what="every process is where it is meant to be")


def rows(fleet: RealFleet) -> dict[str, dict[str, ProcessRow]]:
    """What each agent itself says, by host."""
    return {host: agent.rows() for host, agent in fleet.agents.items()}


def runs(fleet: RealFleet, name: str) -> dict[str, int]:
    return {host: found[f"{name}:{name}"]["run"] for host, found in rows(fleet).items()}


def states(fleet: RealFleet, name: str) -> dict[str, str]:
    return {host: found[name]["state"] for host, found in rows(fleet).items()}


# ---------------------------------------------------------------- seeing


def test_what_programs_have_started_on_every_host(shared: RealFleet) -> None:
    done = shared.ctl("status", "--tree", "web", "idle", "--all-hosts", "-o", "json")
    assert done.code == 3, "idle is stopped"
    for host, known in rows(shared).items():
        idle, web = sorted(done.host(host)["processes"], key=lambda row: str(row["name"]))
        assert "tree" not in idle
        (member,) = web["tree"]
        assert member["pid"] == web["pid"] == known["web:web"]["pid"]
        assert "exits_after" in member["command"]
        assert member["memory_bytes"] > 1_000_000
    shown = shared.ctl("status", "--tree", "web", "-H", "web1,db1").lines
    assert [line for line in shown if line.endswith(":")] == ["db1:", "web1:"]
    assert sum("exits_after" in line for line in shown) == 2


def test_the_whole_fleet_folded(shared: RealFleet) -> None:
    done = shared.ctl("status", "--all-hosts")
    assert done.code == 3
    assert done.out == (
        "broken            FATAL    1/1  db1\n"
        "                    can't find command '/nowhere/at/all'\n"
        "idle              STOPPED  3/3  db1,web[1-2]\n"
        "web               RUNNING  3/3  db1,web[1-2]\n"
        "worker:worker_00  RUNNING  3/3  db1,web[1-2]\n"
        "worker:worker_01  RUNNING  3/3  db1,web[1-2]\n"
    )
    assert done.err == "3 hosts: 3 ok\n"


def test_the_whole_fleet_wide(shared: RealFleet) -> None:
    done = shared.ctl("status", "web", "idle", "--all-hosts", "-o", "wide")
    assert done.code == 3
    head, *lines = done.lines
    assert head.split() == ["HOST", "PROCESS", "STATE", "RUN", "AS", "OF", "DESCRIPTION"]
    assert [line.split()[:3] for line in lines] == [
        [host, name, state]
        for host in ("db1", "web1", "web2")
        for name, state in (("idle", "STOPPED"), ("web", "RUNNING"))
    ]
    assert re.search(r"pid \d+, uptime 0:0\d:\d\d$", lines[1])


def test_the_whole_fleet_as_json(shared: RealFleet) -> None:
    done = shared.ctl("status", "web", "--all-hosts", "-o", "json")
    assert done.code == 0
    assert done.json["schema"] == "fleetctl/v1"
    assert [host["host"] for host in done.json["hosts"]] == ["db1", "web1", "web2"]
    for host in done.json["hosts"]:
        (row,) = host["processes"]
        own = shared.agents[host["host"]].row("web")
        assert (row["pid"], row["run"], row["state"]) == (own["pid"], own["run"], "RUNNING")
        assert (host["bucket"], host["error"]) == ("ok", None)
    summary = done.json["summary"]
    assert (summary["targets"], summary["ok"], summary["exit_code"]) == (3, 3, 0)


def test_the_whole_fleet_line_by_line(shared: RealFleet) -> None:
    done = shared.ctl("status", "web", "--all-hosts", "-o", "jsonl")
    records = [json.loads(line) for line in done.lines]
    assert sorted(record["host"] for record in records[:-1]) == ["db1", "web1", "web2"]
    assert {record["record"] for record in records[:-1]} == {"host"}
    assert (records[-1]["record"], records[-1]["ok"]) == ("summary", 3)


def test_names_alone(shared: RealFleet) -> None:
    done = shared.ctl("status", "worker:*", "-H", "@front", "-o", "name")
    assert done.lines == [f"{host} {name}" for host in ("web1", "web2") for name in WORKERS]


def test_one_host_looks_like_this_one(shared: RealFleet) -> None:
    far = shared.ctl("status", "-H", "db1")
    near = shared.ctl("status", "--state-dir", str(shared.agents["db1"].state_dir))
    assert far.code == near.code == 3
    shape = [re.sub(r"pid \d+, uptime \S+", "pid N", line) for line in far.lines]
    assert shape == [re.sub(r"pid \d+, uptime \S+", "pid N", line) for line in near.lines]
    assert shape[1] == f"{'idle':33}{'STOPPED':10}Not started"
    assert shape[2] == f"{'web':33}{'RUNNING':10}pid N"


def test_hosts_pids_versions_and_logs(shared: RealFleet) -> None:
    done = shared.ctl("hosts")
    assert done.code == 0
    assert [line.split()[0] for line in done.lines] == ["HOST", "db1", "web1", "web2"]
    assert all(" connected " in line for line in done.lines[1:])
    done = shared.ctl("pid", "web", "-H", "web1")
    assert done.out.strip() == str(shared.agents["web1"].row("web")["pid"])
    assert shared.ctl("version", "--all-hosts").code == 0
    done = shared.ctl("tail", "web", "-H", "web1,db1")
    assert (done.code, done.out) == (0, "")


def test_host_expressions(shared: RealFleet) -> None:
    def meant(expression: str) -> list[str]:
        done = shared.ctl("status", "web", "-H", expression, "-o", "json")
        assert done.code == 0, done
        return [host["host"] for host in done.json["hosts"]]

    assert meant("web[1-2]") == ["web1", "web2"]
    assert meant("@front,@back!web1") == ["db1", "web2"]
    assert meant("web*&@front") == ["web1", "web2"]
    assert meant("db1") == ["db1"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("status", "-H", "web9"), 1, "web9"),
        (("status", "-H", "@nobody"), 1, "'nobody'"),
        (("status", "-H", "web[1-"), 1, "column 4"),
        (("status", "-H", "web1", "--all-hosts"), 1, "exclude each other"),
        (("status", "-H", "web1!web1"), 7, ""),
        (("status", "-H", "zz*"), 7, "zz*"),
        (("status", "-H", ""), 7, ""),
        (("status", "nosuch", "-H", "web1"), 2, ""),
        (("status", "nosuch", "web", "--all-hosts"), 2, ""),
        (("status", "broken", "--all-hosts"), 3, "3 ok"),
        (("status", "idle", "-H", "web1"), 3, ""),
        (("stop", "-H", "web1"), 1, "stop requires a process name"),
        (("stop", "web", "-H", "web1!web1", "--yes"), 7, ""),
        (("stop", "nosuch", "--all-hosts", "--yes"), 2, ""),
        (("signal", "NOSUCH", "web", "-H", "web1"), 1, "NOSUCH"),
        (("start", "broken", "-H", "db1"), 2, ""),
        (("status", "--nonsense"), 1, "--nonsense"),
        (("dance",), 1, "dance"),
    ],
)
def test_exit_codes(shared: RealFleet, arguments: tuple[str, ...], code: int, words: str) -> None:
    before = runs(shared, "web")
    done = shared.ctl(*arguments)
    assert done.code == code, done
    assert words in done.err
    assert "Traceback" not in done.err
    assert runs(shared, "web") == before


# ---------------------------------------------------------------- doing


def test_stop_and_start_on_a_group_of_hosts(shared: RealFleet) -> None:
    done = shared.ctl("stop", "worker:*", "-H", "@front", "--yes", "--reason", "a test")
    assert done.code == 0, done
    assert done.lines == [f"{name}  stopped  2/2  web[1-2]" for name in WORKERS]
    for name in WORKERS:
        assert states(shared, name) == {"db1": "RUNNING", "web1": "STOPPED", "web2": "STOPPED"}
    # A read after the change is never older than the change.
    again = shared.ctl("status", "worker:*", "-H", "@front", "-o", "json")
    assert {row["state"] for host in again.json["hosts"] for row in host["processes"]} == {"STOPPED"}
    done = shared.ctl("start", "worker:*", "-H", "@front", "--yes")
    assert done.code == 0, done
    for name in WORKERS:
        assert set(states(shared, name).values()) == {"RUNNING"}
    settle(shared)


def test_restart_and_signal_reach_whom_they_mean(shared: RealFleet) -> None:
    before = runs(shared, "web")
    done = shared.ctl("restart", "web", "-H", "web[1-2]!web2")
    assert (done.code, done.out) == (0, "web: stopped\nweb: started\n")
    assert runs(shared, "web") == {**before, "web1": before["web1"] + 1}
    done = shared.ctl("signal", "USR1", "web", "-H", "web2")
    assert (done.code, done.out) == (0, "web: signalled\n")
    wait_for(
        lambda: runs(shared, "web"),
        lambda now: now == {**before, "web1": before["web1"] + 1, "web2": before["web2"] + 1},
        what="only web2 died of it and was started again",
    )
    settle(shared)


def test_what_is_already_as_asked_counts_as_done(shared: RealFleet) -> None:
    done = shared.ctl("start", "web", "--all-hosts", "--yes", "-o", "json")
    assert done.code == 0
    assert [host["outcomes"][0]["result"] for host in done.json["hosts"]] == ["unchanged"] * 3


def test_some_do_and_some_fail(shared: RealFleet) -> None:
    done = shared.ctl("restart", "broken", "web", "--all-hosts", "--yes", "-o", "json")
    assert done.code == 2
    assert {host["host"]: host["bucket"] for host in done.json["hosts"]} == dict.fromkeys(CONFIGS, "failed")
    results = {
        (host["host"], row["name"]): row["result"] for host in done.json["hosts"] for row in host["outcomes"]
    }
    assert results == {
        ("db1", "broken"): "failed",
        ("db1", "web"): "ok",
        ("web1", "web"): "ok",
        ("web2", "web"): "ok",
    }
    settle(shared)


# ---------------------------------------------------------------- asking first


def at_terminal(fleet: RealFleet, answer: str, *arguments: str) -> Done:
    """Run fleetctl at a terminal where somebody answers its question."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [str(BIN / "fleetctl"), *arguments],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=theirs,
            env={**os.environ, **fleet.environ, "TERM": "dumb"},
        )
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1000)
        os.write(ours, answer.encode())
        out, _ = process.communicate(timeout=30)
        os.set_blocking(ours, False)
        said += os.read(ours, 10_000)
        return Done(process.returncode, out.decode(), said.decode())
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_change_on_several_hosts_asks_first(shared: RealFleet) -> None:
    before = runs(shared, "web")
    done = shared.ctl("restart", "web", "--all-hosts")
    assert done.code == 1
    assert "nothing was sent" in done.err
    assert "--yes" in done.err
    done = shared.ctl("restart", "web", "--all-hosts", answer="y\n")
    assert done.code == 1, "an answer that is piped in is no terminal"
    done = at_terminal(shared, "n\n", "restart", "web", "-H", "@front")
    assert done.code == 1
    assert "Restart web on 2 hosts (web[1-2])? [y/N]" in done.err
    assert "nothing was sent" in done.err
    assert runs(shared, "web") == before
    done = at_terminal(shared, "y\n", "restart", "web", "-H", "@front")
    assert done.code == 0
    assert runs(shared, "web") == {
        "db1": before["db1"],
        "web1": before["web1"] + 1,
        "web2": before["web2"] + 1,
    }
    settle(shared)


# ---------------------------------------------------------------- hosts that are gone


def states_of(done: Done) -> dict[str, str]:
    return {host["host"]: host["bucket"] for host in done.json["hosts"]}


def test_a_host_whose_agent_is_stopped(tmp_path: Path) -> None:
    configs = dict.fromkeys(("web1", "web2", "web3"), COMMON)
    with RealFleet(tmp_path, configs, settings=IMPATIENT) as fleet:
        fleet.agents["web2"].end()
        done = wait_for(
            lambda: fleet.ctl("status", "web", "--all-hosts"), lambda done: done.code == 4, what="lost"
        )
        assert re.search(r"^UNREACHABLE +web2 .*refuses connections \(last seen ", done.out, re.MULTILINE)
        assert re.search(r"^web +RUNNING +2/3 +web\[1,3\]$", done.out, re.MULTILINE)
        assert "3 hosts: 2 ok, 1 unreachable" in done.err
        done = fleet.ctl("restart", "web", "--all-hosts", "--yes", "-o", "json")
        assert done.code == 4
        assert states_of(done) == {"web1": "ok", "web2": "unreachable", "web3": "ok"}
        assert done.host("web2")["error"]["code"] == "CONNECTION_REFUSED"
        done = fleet.ctl("restart", "nosuch", "--all-hosts", "--yes")
        assert done.code == 6
        fleet.agents["web2"].start()
        fleet.wait_connected()
        assert fleet.ctl("status", "web", "--all-hosts").code == 0


@contextmanager
def black_hole(agent: RealAgent) -> Iterator[None]:
    """Everything of an agent stands still: its port takes connections, and nobody answers."""
    hello = agent.hello()
    pids = [hello[part] for part in ("pid", "gateway_pid", "supervisor_pid")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_black_hole_is_never_shown_as_running(tmp_path: Path) -> None:
    configs = dict.fromkeys(("web1", "web2", "web3"), COMMON)
    with RealFleet(tmp_path, configs, settings=IMPATIENT) as fleet:
        agent = fleet.agents["web2"]
        before = agent.row("web")["run"]
        with black_hole(agent):
            done = wait_for(
                lambda: fleet.ctl("status", "web", "--all-hosts", "-o", "json"),
                lambda done: states_of(done)["web2"] == "unreachable",
                what="found out",
            )
            deadline = time.monotonic() + 1.5
            while time.monotonic() < deadline:
                begun = time.monotonic()
                done = fleet.ctl("status", "web", "--all-hosts", "-o", "json")
                assert time.monotonic() - begun < 3, "the healthy ones are told at once"
                assert done.code == 4
                assert states_of(done) == {"web1": "ok", "web2": "unreachable", "web3": "ok"}
                reachability: Any = done.host("web2")["reachability"]
                assert reachability["age_seconds"] > 0.5
                assert done.host("web1")["processes"][0]["state"] == "RUNNING"
            done = fleet.ctl("status", "web", "--all-hosts")
            assert re.search(r"^web +RUNNING +2/3 +web\[1,3\]$", done.out, re.MULTILINE), done.out
            assert re.search(r"^UNREACHABLE +web2 .*last seen \d+s ago", done.out, re.MULTILINE), done.out
            done = fleet.ctl("restart", "web", "--all-hosts", "--yes", "--timeout", "2", "-o", "json")
            assert done.code == 4
            assert states_of(done) == {"web1": "ok", "web2": "unreachable", "web3": "ok"}
        fleet.wait_connected()
        done = fleet.ctl("status", "web", "--all-hosts", "-o", "json")
        assert done.code == 0
        # What was told to have reached nobody has reached nobody.
        assert agent.row("web")["run"] == before


# ---------------------------------------------------------------- the controller's own life


def test_the_inventory_is_read_again(tmp_path: Path) -> None:
    configs = dict.fromkeys(("web1", "web2", "web3"), COMMON)
    with RealFleet(tmp_path, configs) as fleet:
        pids = {host: found["web:web"]["pid"] for host, found in rows(fleet).items()}
        fleet.write_inventory(["web1", "web3"])
        wait_for(fleet.reachability, lambda seen: set(seen) == {"web1", "web3"}, what="web2 is gone")
        done = fleet.ctl("status", "web", "--all-hosts", "-o", "name")
        assert done.lines == ["web1 web", "web3 web"]
        fleet.controller.inventory.write_text("[hosts.web1\nbroken")
        wait_for(fleet.controller.log.read_text, lambda text: "inventory not read" in text)
        assert set(fleet.reachability()) == {"web1", "web3"}
        fleet.groups = {"new": ["web2"]}
        fleet.write_inventory(fleet.agents)
        fleet.wait_connected()
        assert fleet.ctl("status", "web", "-H", "@new", "-o", "name").lines == ["web2 web"]
        assert {host: found["web:web"]["pid"] for host, found in rows(fleet).items()} == pids


def test_sigterm_lets_the_controller_finish_what_it_has_begun(tmp_path: Path) -> None:
    slow = (
        f"[program:slow]\ncommand={program('ignores_term')}\nstopwaitsecs=2\nstdout_logfile={{}}/slow.log\n"
    )
    configs = {host: slow.format(tmp_path / host) for host in ("web1", "web2")}
    with RealFleet(tmp_path, configs) as fleet:
        for host in configs:
            wait_for(lambda log=tmp_path / host / "slow.log": log.exists() and log.read_text(), what="ready")  # type: ignore[misc]
        stopping = subprocess.Popen(
            [str(BIN / "fleetctl"), "stop", "slow", "--all-hosts", "--yes", "-o", "json"],
            env={**os.environ, **fleet.environ},
            stdout=subprocess.PIPE,
        )
        with stopping:
            for agent in fleet.agents.values():
                agent.wait_state("slow", "STOPPING")
            controller = fleet.controller.process
            assert controller is not None
            controller.send_signal(signal.SIGTERM)
            out, _ = stopping.communicate(timeout=30)
        assert stopping.returncode == 0
        assert states_of(Done(0, out.decode(), "")) == {"web1": "ok", "web2": "ok"}
        assert controller.wait(15) == 0
        done = fleet.ctl("status", "--all-hosts")
        assert done.code == 4
        assert "refuses connections" in done.err


def test_a_controller_that_is_killed_and_started_again(tmp_path: Path) -> None:
    configs = dict.fromkeys(("web1", "web2", "web3"), COMMON)
    with RealFleet(tmp_path, configs) as fleet:
        before = rows(fleet)
        fleet.controller.kill()
        # Nobody misses it on the hosts.
        os.kill(fleet.agents["web1"].row("web")["pid"], signal.SIGKILL)
        wait_for(lambda: fleet.agents["web1"].row("web"), lambda row: row["run"] == 2 and row["pid"] > 0)
        assert fleet.ctl("status", "--all-hosts").code == 4
        fleet.controller.start()
        fleet.wait_connected()
        done = fleet.ctl("status", "web", "--all-hosts", "-o", "json")
        assert done.code == 0
        for host in configs:
            own = fleet.agents[host].row("web")
            assert done.host(host)["processes"][0]["pid"] == own["pid"]
            assert own["run"] == (2 if host == "web1" else before[host]["web:web"]["run"])
        assert fleet.ctl("restart", "web", "--all-hosts", "--yes").code == 0
