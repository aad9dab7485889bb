"""A stop reaches every descendant, by cgroups and by /proc; real agents, real trees."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fleet_agent.supervisor.trees.trees import agent_mark
from real.agent import RealAgent, alive, program
from real.cgroups import WAYS, folders_of, needs_cgroups
from real.waiting import wait_for


class Grove:
    """An agent with one program `p` that plants trees; whatever is planted is felled at the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pids: set[int] = set()

    def agent(self, way: str, *words: str, options: str = "") -> RealAgent:
        text = (
            f"[fleet]\n{way}\n[program:p]\ncommand={program('plants_tree', *words)}\nstartsecs=0\n"
            f"stopwaitsecs=30\nstdout_logfile={self.folder}/p.log\nenvironment=TREE_FOLDER={self.folder}\n"
            f"{options}\n"
        )
        return RealAgent(self.folder, text)

    def planted(self, count: int) -> list[int]:
        """The pids that the program has told, once there are so many."""
        log = self.folder / "p.log"

        def read() -> list[int]:
            lines = log.read_text().splitlines() if log.exists() else []
            return [int(line.split()[1]) for line in lines if line.startswith("pid ")]

        pids = wait_for(read, lambda pids: len(pids) == count, what=f"{count} pids")
        self.pids.update(pids)
        return pids

    def fell(self) -> None:
        for pid in self.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def grove(tmp_path: Path) -> Iterator[Grove]:
    grove = Grove(tmp_path)
    yield grove
    grove.fell()


def running(agent: RealAgent, name: str = "p") -> int:
    """The pid of a program, which is never 0: that would mean the tests themselves."""
    pid = agent.wait_state(name, "RUNNING")["pid"]
    assert pid
    return pid


def run_folders(agent: RealAgent) -> list[str]:
    return [path.name for path in folders_of(agent_mark(str(agent.state_dir / "run")))[1:]]


def wait_placed(agent: RealAgent, count: int) -> None:
    """Wait until a tree of so many is in the cgroup of its run."""

    def placed() -> int:
        folders = folders_of(agent_mark(str(agent.state_dir / "run")))[1:]
        return sum(len((folder / "cgroup.procs").read_text().split()) for folder in folders)

    wait_for(placed, lambda found: found == count, what=f"{count} processes in cgroups")


@pytest.mark.parametrize("way", WAYS)
def test_who_obeys_is_asked_once_and_goes(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "child", "setsid", "setsid+orphan+asks") as agent:
        pids = grove.planted(4)
        agent.operate("stop", "p")
        assert [pid for pid in pids if alive(pid)] == []
        row = agent.row("p")
        assert row["state"] == "STOPPED"
        assert row["reason"] == "stopped: terminated by SIGTERM; 3 descendants ended after SIGTERM"
        asking = next(pid for pid in pids if (grove.folder / str(pid)).exists())
        assert (grove.folder / str(asking)).read_text() == "SIGTERM"


@pytest.mark.parametrize("way", WAYS)
def test_who_does_not_obey_is_killed_when_the_time_is_over(grove: Grove, way: str) -> None:
    words = ("obeys", "ignores", "setsid+ignores", "setsid+orphan+ignores", "child")
    with grove.agent(way, *words, options="stopwaitsecs=1") as agent:
        pids = grove.planted(5)
        agent.operate("stop", "p")
        assert [pid for pid in pids if alive(pid)] == []
        assert agent.row("p")["reason"] == (
            "stopped: terminated by SIGTERM; 1 descendant ended after SIGTERM; "
            "3 descendants killed with SIGKILL"
        )


@pytest.mark.parametrize("way", WAYS)
def test_who_is_killed_itself_takes_all_along(grove: Grove, way: str) -> None:
    with grove.agent(way, "ignores", "setsid+ignores", "orphan+setsid", options="stopwaitsecs=1") as agent:
        pids = grove.planted(3)
        agent.operate("stop", "p")
        assert [pid for pid in pids if alive(pid)] == []
        assert agent.row("p")["reason"] == "stopped: terminated by SIGKILL; 2 descendants killed with SIGKILL"


@pytest.mark.parametrize("way", WAYS)
def test_who_relies_on_being_left_alone_says_so(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "setsid", "child", options="stoptree=false") as agent:
        leader = running(agent)
        pids = grove.planted(3)
        agent.operate("stop", "p")
        assert [pid for pid in pids if not alive(pid)] == [leader]
        assert agent.row("p")["reason"] == "stopped: terminated by SIGTERM"


@pytest.mark.parametrize("way", WAYS)
def test_a_death_leaves_descendants_alone_and_the_next_stop_does_not(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "setsid+orphan") as agent:
        leader = running(agent)
        pids = grove.planted(2)
        if "true" in way:
            wait_placed(agent, 2)
        os.kill(leader, signal.SIGKILL)
        wait_for(lambda: agent.row("p"), lambda row: row["run"] == 2 and row["pid"] > 0, what="the next run")
        both = grove.planted(4)
        assert [pid for pid in both if not alive(pid)] == [leader]
        agent.operate("stop", "p")
        assert [pid for pid in pids + both if alive(pid)] == []
        assert "2 descendants ended after SIGTERM" in agent.row("p")["reason"]


@needs_cgroups
def test_a_stop_and_the_end_of_the_agent_reach_what_ended_programs_have_left(grove: Grove) -> None:
    options = "autorestart=false\nstopwaitsecs=1"
    with grove.agent("cgroups=true", "obeys", "setsid+orphan", "orphan+ignores", options=options) as agent:
        pids = grove.planted(3)
        wait_placed(agent, 3)
        os.kill(running(agent), signal.SIGTERM)
        agent.wait_state("p", "EXITED")
        (outcome,) = agent.operate("stop", "p")["outcomes"]
        assert outcome["result"] == "ok"
        assert [pid for pid in pids if alive(pid)] == []
        assert agent.row("p")["reason"] == (
            "stopped: terminated by SIGTERM; 1 descendant ended after SIGTERM; "
            "1 descendant killed with SIGKILL"
        )
        (outcome,) = agent.operate("stop", "p")["outcomes"]
        assert outcome["reason"] == "not running"
        agent.operate("start", "p")
        again = grove.planted(6)
        wait_placed(agent, 3)
        os.kill(running(agent), signal.SIGTERM)
        agent.wait_state("p", "EXITED")
        agent.end()
        assert [pid for pid in again if alive(pid)] == []


@pytest.mark.parametrize("way", WAYS)
def test_a_restart_begins_when_the_old_tree_is_gone(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "setsid+ignores", options="stopwaitsecs=1") as agent:
        old = grove.planted(2)
        agent.operate("restart", "p")
        assert [pid for pid in old if alive(pid)] == []
        assert agent.row("p")["run"] == 2
        grove.planted(4)


@pytest.mark.parametrize("way", WAYS)
def test_a_new_supervisor_finishes_the_stop(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "setsid+ignores", "orphan+ignores", options="stopwaitsecs=3") as agent:
        leader = running(agent)
        pids = grove.planted(3)
        agent.operate("stop", "p", wait=False)
        wait_for(lambda: not alive(leader), what="the end of the leader")
        row = wait_for(lambda: agent.row("p"), lambda row: not row["pid"], what="no pid")
        assert row["state"] == "STOPPING"
        assert row["reason"] == "terminated by SIGTERM; waiting for its descendants"
        agent.wait_replaced(agent.kill_supervisor())
        row = agent.wait_state("p", "STOPPED")
        assert row["reason"] == "stopped: terminated by SIGTERM; 2 descendants killed with SIGKILL"
        assert [pid for pid in pids if alive(pid)] == []


@pytest.mark.parametrize("way", WAYS)
def test_the_next_agent_finds_the_trees_of_one_that_was_killed(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "setsid", "setsid+orphan") as agent:
        pids = grove.planted(3)
        if "true" in way:
            wait_placed(agent, 3)
        supervisor = agent.hello()["supervisor_pid"]
        assert agent.keeper is not None
        os.kill(supervisor, signal.SIGSTOP)
        agent.keeper.kill()
        agent.keeper.wait()
        os.kill(supervisor, signal.SIGKILL)
        agent.start()
        agent.operate("stop", "p")
        assert [pid for pid in pids if alive(pid)] == []
        assert "2 descendants ended after SIGTERM" in agent.row("p")["reason"]


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_that_ends_leaves_nobody_behind(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "setsid", "setsid+orphan+ignores", options="stopwaitsecs=1") as agent:
        mark = agent_mark(str(agent.state_dir / "run"))
        pids = grove.planted(3)
        agent.end()
        assert [pid for pid in pids if alive(pid)] == []
        assert folders_of(mark) == []


@needs_cgroups
def test_a_cgroup_goes_with_the_last_that_lives_in_it(grove: Grove) -> None:
    with grove.agent("cgroups=true", "obeys", "setsid+orphan", options="autorestart=false") as agent:
        leader = running(agent)
        pids = grove.planted(2)
        wait_placed(agent, 2)
        os.kill(leader, signal.SIGTERM)
        agent.wait_state("p", "EXITED")
        assert run_folders(agent) == ["run-p%3Ap.1"]
        os.kill(next(pid for pid in pids if pid != leader), signal.SIGKILL)
        wait_for(lambda: run_folders(agent), lambda names: not names, what="no cgroup of a run")


@needs_cgroups
def test_forks_faster_than_anybody_could_count_are_ended_all(tmp_path: Path) -> None:
    text = (
        f"[program:p]\ncommand={program('forks_on')}\nstartsecs=0\nstopwaitsecs=1\n"
        f"environment=TREE_FOLDER={tmp_path}\n"
    )
    with RealAgent(tmp_path, text) as agent:
        wait_for((tmp_path / "forking").exists, what="the forks have begun")
        wait_placed_any(agent)
        agent.operate("stop", "p")
        row = agent.row("p")
        assert row["state"] == "STOPPED"
        wait_for(lambda: run_folders(agent), lambda names: not names, what="no cgroup of a run")


def wait_placed_any(agent: RealAgent) -> None:
    wait_for(lambda: run_folders(agent), what="a cgroup")


@pytest.mark.parametrize("way", WAYS)
def test_trees_are_shown_as_they_stand(grove: Grove, way: str) -> None:
    with grove.agent(way, "obeys", "child", "setsid+orphan", options="directory=/") as agent:
        pids = grove.planted(3)
        leader = running(agent)
        (row,) = agent.ask("tree", terms=["p"])["processes"]
        assert row["tree_size"] == 3
        first, *others = row["tree"]
        assert (first["pid"], first["depth"]) == (leader, 0)
        assert {member["pid"] for member in others} == set(pids) - {leader}
        assert [member["depth"] for member in others] == [1, 1]
        assert first["memory_bytes"] > 1_000_000
        assert first["cpu_seconds"] >= 0
        assert "plants_tree.py obeys child setsid+orphan" in first["command"]
        agent.operate("stop", "p")
        (row,) = agent.ask("tree", terms=["p"])["processes"]
        assert "tree" not in row


def memory_cgroup() -> Path | None:
    """A place for a memory cgroup of version 1 that the tests may make; None where there is none."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    for line in mounts:
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(before.split(" ")[4])
    return None


MEMORY = memory_cgroup()


@pytest.mark.skipif(
    MEMORY is None or not os.access(MEMORY, os.W_OK), reason="no memory cgroup of version 1 to limit"
)
def test_who_dies_for_want_of_memory_is_told_so(tmp_path: Path) -> None:
    assert MEMORY is not None
    limited = MEMORY / f"fleet-test-{os.getpid()}"
    limited.mkdir()
    text = (
        f"[program:eater]\ncommand={program('eats_memory', tmp_path / 'now')}\nautorestart=false\n"
        f"startsecs=0\n[program:victim]\ncommand={program('ignores_term')}\nautorestart=false\nstartsecs=0\n"
    )
    agent = RealAgent(tmp_path, text)
    try:
        with agent:
            assert agent.keeper is not None
            eater, victim = running(agent, "eater"), running(agent, "victim")
            os.kill(victim, signal.SIGKILL)
            row = agent.wait_state("victim", "EXITED")
            assert row["reason"] == "exited: terminated by SIGKILL; not expected", (
                "nobody was short of memory"
            )
            for pid in (agent.keeper.pid, agent.hello()["supervisor_pid"]):
                (limited / "cgroup.procs").write_text(str(pid))
            (limited / "memory.limit_in_bytes").write_text("62914560")
            (limited / "cgroup.procs").write_text(str(eater))
            agent.wait_replaced(agent.kill_supervisor())
            (tmp_path / "now").touch()
            row = agent.wait_state("eater", "EXITED")
            assert row["reason"] == (
                "exited: terminated by SIGKILL: killed by the kernel, out of memory; not expected"
            )
    finally:
        wait_for(lambda: not (limited / "cgroup.procs").read_text(), what="an empty cgroup")
        limited.rmdir()
