"""No descriptors, processes or memory left: what runs goes on, and the rest is told and tried again."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from fleet_api.errors import FleetError
from real.agent import AGENT, RealAgent, alive, program
from real.waiting import wait_for


@contextmanager
def limited(pid: int, kind: int, soft: int) -> Iterator[None]:
    """A lower limit of a running process, until it is raised again."""
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (soft, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, kind, before)


def test_as_many_processes_as_descriptors_allow(tmp_path: Path) -> None:
    limit, wanted = 128, 24
    # The head of the file is a [supervisord] already.
    text = (
        f"minfds=64\n[program:many]\ncommand={program('lines', 'line', 0, 0.05)}\nnumprocs={wanted}\n"
        f"process_name=%(process_num)02d\nstartsecs=0\nstdout_logfile={tmp_path}/%(process_num)02d.out\n"
        f"stderr_logfile={tmp_path}/%(process_num)02d.err\n"
    )
    command = ["prlimit", f"--nofile={limit}:{limit}", *AGENT]
    with RealAgent(tmp_path, text, command=command) as agent:
        rows = wait_for(
            agent.rows,
            lambda rows: (
                len(rows) == wanted and {row["state"] for row in rows.values()} == {"RUNNING", "BACKOFF"}
            ),
            20,
            "some run, and some cannot",
        )
        refused = next(row for row in rows.values() if row["state"] == "BACKOFF")
        assert f"the agent may have {limit}, which" in refused["spawn_error"]
        assert "LimitNOFILE=" in refused["spawn_error"]
        running = {name: row["pid"] for name, row in rows.items() if row["state"] == "RUNNING"}
        # Four descriptors each, as `fleet-agent doctor` counts, and some kept for a new supervisor.
        assert 10 <= len(running) <= (limit - 64) // 4
        (trouble,) = agent.ask("status")["troubles"]
        assert trouble["kind"] == "start of processes"
        agent.wait_replaced(agent.kill_supervisor())
        rows = wait_for(agent.rows, lambda rows: len(rows) == wanted)
        for name, pid in running.items():
            assert (rows[name]["pid"], rows[name]["state"]) == (pid, "RUNNING")
            log = tmp_path / f"{name.partition(':')[2]}.out"
            size = log.stat().st_size
            wait_for(lambda log=log, size=size: log.stat().st_size > size, what="its log grows")  # type: ignore[misc]
        # Room for one is taken by one of those that wait; more may find some than while all started at once.
        some = next(iter(running))
        agent.operate("stop", some)
        wait_for(
            lambda: sum(row["state"] == "RUNNING" for row in agent.rows().values()),
            lambda count: count >= len(running),
            35,
            "another in its place",
        )
        assert agent.activity().count("spawnerr") == 0


def test_a_supervisor_without_descriptors_recovers(tmp_path: Path) -> None:
    text = f"[program:back]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\nautorestart=true\n"
    with RealAgent(tmp_path, text) as agent:
        row = agent.wait_state("back", "RUNNING")
        supervisor = agent.hello()["supervisor_pid"]
        # The connection of the last question may be on its way out.
        seen: list[int] = []

        def looked_often() -> bool:
            seen.append(_lowest_free(supervisor))
            return len(seen) > 20

        wait_for(looked_often)
        lowest = min(seen)
        with (
            limited(supervisor, resource.RLIMIT_NOFILE, lowest),
            pytest.raises(FleetError),
            agent.door() as door,
        ):
            door.request("hello", timeout_seconds=1.5)
        assert wait_for(lambda: agent.hello()["supervisor_pid"]) == supervisor
        assert agent.row("back")["pid"] == row["pid"]
        agent.wait_told("cannot take a connection: Too many open files")
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], what="no trouble")
        with limited(supervisor, resource.RLIMIT_NOFILE, _lowest_free(supervisor)):
            # What the keeper tells of the next run comes with descriptors.
            os.kill(row["pid"], signal.SIGKILL)
            wait_for(lambda: not alive(supervisor) or _pid(agent) != row["pid"], what="either way")
        wait_for(
            lambda: agent.row("back"),
            lambda found: found["state"] == "RUNNING" and found["pid"] != row["pid"],
        )


def _lowest_free(pid: int) -> int:
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(3, 10_000) if number not in taken)


def _pid(agent: RealAgent) -> int:
    return next((row["pid"] for row in agent.rows().values()), 0)


@pytest.mark.skipif(os.geteuid() == 0, reason="the kernel limits the processes of plain users only")
def test_without_room_for_a_process_a_start_is_tried_until_there_is(tmp_path: Path) -> None:
    text = (
        f"[program:back]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\nautorestart=true\n"
        "startretries=0\n"
        f"[program:talk]\ncommand={program('lines', 'talk', 0, 0.02)}\nstdout_logfile={tmp_path}/talk.log\n"
    )
    with RealAgent(tmp_path, text) as agent:
        row = agent.wait_state("back", "RUNNING")
        talk = agent.wait_state("talk", "RUNNING")
        with limited(agent.hello()["pid"], resource.RLIMIT_NPROC, 1):
            os.kill(row["pid"], signal.SIGKILL)
            failed = agent.wait_state("back", "BACKOFF")
            assert failed["spawn_error"] == "Too many processes in process table to spawn 'back'"
            wait_for(
                lambda: agent.row("back")["run"], lambda run: run >= failed["run"] + 2, what="tried again"
            )
            (trouble,) = agent.ask("status")["troubles"]
            assert (trouble["kind"], trouble["count"] >= 3) == ("start of processes", True)
            size = (tmp_path / "talk.log").stat().st_size
            wait_for((tmp_path / "talk.log").stat, lambda found: found.st_size > size, what="its log grows")
            supervisor = agent.kill_supervisor()
            wait_for(lambda: "starting the supervisor fails" in agent.said(), what="told by the keeper")
        agent.wait_replaced(supervisor)
        agent.wait_state("back", "RUNNING", 35)
        assert agent.row("talk")["pid"] == talk["pid"]
        agent.wait_told("start of processes fails")
        assert agent.said().count("starting the supervisor fails") == 1
        assert "starting the supervisor works again after" in agent.said()


def test_a_keeper_without_memory_starts_what_it_owes_once_there_is_some(tmp_path: Path) -> None:
    waits = program("exits_after", 3600, 0)
    often = "startsecs=0\nautorestart=true\nstartretries=0\n"
    # A start in a folder of its own takes another way, and code that the keeper has not needed so far.
    text = (
        f"[program:back]\ncommand={waits}\n{often}"
        f"[program:away]\ncommand={waits}\ndirectory={tmp_path}\nautostart=false\n{often}"
        f"[program:stays]\ncommand={waits}\n{often}"
        f"[program:talk]\ncommand={program('lines', 'talk', 0, 0.02)}\nstdout_logfile={tmp_path}/talk.log\n"
    )
    with RealAgent(tmp_path, text) as agent:
        running = {name: agent.wait_state(name, "RUNNING")["pid"] for name in ("back", "stays", "talk")}
        hello = agent.hello()
        with limited(hello["pid"], resource.RLIMIT_AS, 4096):
            os.kill(running["back"], signal.SIGKILL)
            failed = agent.wait_state("back", "BACKOFF")
            assert failed["spawn_error"] == "unknown error during fork for 'back': ENOMEM"
            agent.operate("start", "away", wait=False)
            assert "'away': " in agent.wait_state("away", "BACKOFF")["spawn_error"]
            wait_for(
                lambda: agent.row("back")["run"], lambda run: run >= failed["run"] + 2, what="tried again"
            )
            (trouble,) = agent.ask("status")["troubles"]
            assert trouble["kind"] == "start of processes"
            assert trouble["count"] >= 4
            assert "what cannot be started is tried again" in trouble["message"]
            # Deaths are noticed, signals are sent, and logs grow.
            os.kill(running["stays"], signal.SIGKILL)
            agent.wait_state("stays", "BACKOFF")
            size = (tmp_path / "talk.log").stat().st_size
            wait_for((tmp_path / "talk.log").stat, lambda found: found.st_size > size, what="its log grows")
            agent.operate("signal", "talk", sig="CONT")
            assert agent.row("talk")["pid"] == running["talk"]
            supervisor = agent.kill_supervisor()
            wait_for(lambda: "starting the supervisor fails" in agent.said(), what="told by the keeper")
        agent.wait_replaced(supervisor)
        for name in ("back", "away", "stays", "talk"):
            agent.wait_state(name, "RUNNING", 35)
        after = agent.hello()
        assert (after["pid"], agent.row("talk")["pid"]) == (hello["pid"], running["talk"])
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], 15, "no trouble")
        # Once by the supervisor that met it; the next one finds memory.
        agent.wait_told("start of processes fails")
        assert agent.activity().count("spawnerr") == 0
        assert agent.said().count("starting the supervisor fails") == 1
        assert "starting the supervisor works again after" in agent.said()
