"""Who is moved where, on the kernel's own cgroups and with real processes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent.core.tree import Leader, run_mark
from fleet_agent.supervisor.trees import cgroups, procfs
from fleet_agent.supervisor.trees.placing import Placed, place
from real.agent import program
from real.cgroups import needs_cgroups
from real.waiting import wait_for

pytestmark = needs_cgroups

AGENT = f"test-{os.getpid()}"
KEY = ("g:a", 1)


@pytest.fixture
def home() -> Iterator[cgroups.Home]:
    home = cgroups.Home(cgroups.find_place(), AGENT)
    home.make()
    yield home
    cgroups.kill(home.of_run(KEY))
    wait_for(lambda: not cgroups.is_populated(home.path), what="nobody left")
    home.leave()


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[list[int]]:
    """A leader, a child of it and an orphan of a session of its own, outside of every cgroup of ours."""
    environ = {**os.environ, procfs.MARK_VARIABLE: run_mark(AGENT, KEY)}
    with (tmp_path / "out").open("wb") as out:
        leader = subprocess.Popen(
            program("plants_tree", "obeys", "child", "setsid+orphan").split(),
            stdout=out,
            env=environ,
            process_group=0,
        )
    lines = wait_for(
        lambda: (tmp_path / "out").read_text().splitlines(), lambda lines: len(lines) == 3, what="a tree"
    )
    pids = [int(line.split()[1]) for line in lines]
    yield sorted(pids, key=lambda pid: pid != leader.pid)
    for pid in pids:
        if procfs.mark(pid) == run_mark(AGENT, KEY):
            os.kill(pid, 9)
    leader.wait()


def placed(home: cgroups.Home, pid: int, is_everywhere: bool = False, **changes: int) -> Placed:
    line = procfs.stat(pid)
    started = changes.get("started", line.started if line else 0)
    return place(home, {pid: Leader(KEY, started)}, frozenset((os.getpid(),)), AGENT, is_everywhere)


def test_a_leader_takes_along_what_it_has_forked(home: cgroups.Home, tree: list[int]) -> None:
    found = placed(home, tree[0])
    assert found == (frozenset([KEY]), frozenset([KEY]), "")
    assert sorted(cgroups.members(home.of_run(KEY))) == sorted(tree)
    assert placed(home, tree[0]) == found, "once more changes nothing"


def test_descendants_in_another_cgroup_are_found_when_asked_for(home: cgroups.Home, tree: list[int]) -> None:
    elsewhere = f"{home.path}/run-elsewhere.1"
    os.mkdir(elsewhere)
    for pid in tree:
        cgroups.move(elsewhere, pid)
    placed(home, tree[0])
    assert cgroups.members(home.of_run(KEY)) == [tree[0]]
    placed(home, tree[0], is_everywhere=True)
    assert sorted(cgroups.members(home.of_run(KEY))) == sorted(tree)
    assert cgroups.remove(elsewhere)


def test_who_is_gone_gets_no_cgroup(home: cgroups.Home) -> None:
    child = subprocess.Popen(["/bin/true"])
    child.wait()
    assert placed(home, child.pid, started=2**40) == (frozenset(), frozenset(), "")
    assert not os.path.exists(home.of_run(KEY))


def test_a_pid_that_was_given_away_again_is_left_alone(home: cgroups.Home) -> None:
    stranger = subprocess.Popen(["/bin/sleep", "1000"])
    try:
        assert placed(home, stranger.pid, started=1).runs == frozenset()
        assert stranger.pid not in cgroups.members(home.path)
    finally:
        stranger.kill()
        stranger.wait()


def test_what_the_kernel_refuses_is_told(home: cgroups.Home, tmp_path: Path) -> None:
    folder = tmp_path / f"fleet-agent.{AGENT}"
    folder.mkdir()
    fake = cgroups.Home(str(tmp_path), AGENT)
    child = subprocess.Popen(["/bin/sleep", "1000"])
    try:
        found = placed(fake, child.pid)
        assert found.runs == frozenset()
        assert found.problem == f"pid {child.pid}: No such file or directory"
    finally:
        child.kill()
        child.wait()
