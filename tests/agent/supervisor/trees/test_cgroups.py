"""Cgroups of runs, on the kernel's own; names and mounts by hand."""

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent.supervisor.trees import cgroups
from real.cgroups import needs_cgroups
from real.waiting import wait_for


@pytest.fixture
def home() -> Iterator[cgroups.Home]:
    home = cgroups.Home(cgroups.find_place(), f"test-{os.getpid()}")
    home.make()
    yield home
    home.leave()
    assert not os.path.exists(home.path)


@pytest.fixture
def sleeper() -> Iterator[int]:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    yield child.pid
    child.kill()
    child.wait()


def make(home: cgroups.Home, *parts: str) -> str:
    path = "/".join([home.of_run(("g:a", 1)), *parts])
    os.makedirs(path)
    return path


@needs_cgroups
def test_who_lives_in_a_cgroup_and_below_it(home: cgroups.Home, sleeper: int) -> None:
    inner = make(home, "made", "by the program")
    path = home.of_run(("g:a", 1))
    assert list(home.runs()) == [("run-g%3Aa", 1)]
    assert not cgroups.is_populated(path)
    cgroups.move(inner, sleeper)
    assert cgroups.members(path) == [sleeper]
    assert cgroups.own_members(path) == []
    assert cgroups.is_populated(path)
    assert not cgroups.remove(path), "somebody lives there"


@needs_cgroups
def test_a_kill_is_told_and_leaves_an_empty_cgroup(home: cgroups.Home, sleeper: int) -> None:
    path = make(home)
    cgroups.move(path, sleeper)
    events = cgroups.open_events(path)
    poll = select.epoll()
    try:
        assert cgroups.is_populated_by(events)
        poll.register(events, select.EPOLLPRI)
        assert poll.poll(0) == [], "quiet until something happens"
        assert cgroups.kill(path)
        assert poll.poll(20)
        wait_for(lambda: not cgroups.is_populated_by(events), what="nobody left")
    finally:
        poll.close()
        os.close(events)
    assert cgroups.remove(path)
    assert cgroups.remove(path), "gone is gone"


@needs_cgroups
def test_who_is_gone_cannot_be_moved(home: cgroups.Home) -> None:
    path = make(home)
    with pytest.raises(ProcessLookupError):
        cgroups.move(path, 2**22 + 1)


@pytest.mark.pure
def test_what_is_not_there_is_empty(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    assert cgroups.members(missing) == []
    assert not cgroups.is_populated(missing)
    assert not cgroups.kill(missing)
    assert cgroups.oom_kills(missing) is None
    assert list(cgroups.Home(missing, "a").runs()) == []


@pytest.mark.pure
def test_a_place_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(cgroups.Unusable, match=r"cgroup\.procs: No such file or directory"):
        cgroups.Home(str(tmp_path), "a").make()


@pytest.mark.pure
def test_oom_kills(tmp_path: Path) -> None:
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert cgroups.oom_kills(str(tmp_path)) == 2


@pytest.mark.pure
def test_names_are_one_folder_each() -> None:
    ids = ["g:a", "g/a", "g%a", "a.b", "ü", "x" * 1000, "x" * 999 + "y"]
    stems = {cgroups.stem_of(id_) for id_ in ids}
    assert len(stems) == len(ids)
    assert all("/" not in stem and "." not in stem and len(stem) < 200 for stem in stems)


@pytest.mark.pure
def test_where_a_service_manager_made_a_leaf_its_parent_is_divided() -> None:
    home = cgroups.Home("/x/agent.service/fleet-agent.leaf", "m")
    assert home.path == "/x/agent.service/fleet-agent.m"
    assert cgroups.Home("/x/agent.service", "m").path == "/x/agent.service/fleet-agent.m"


@pytest.mark.pure
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n", ("/", "/sys/fs/cgroup")),
        ("30 23 0:26 /a\\040b /mnt/x\\040y rw - cgroup2 none rw\n", ("/a b", "/mnt/x y")),
        ("31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", None),
    ],
)
def test_mounts(line: str, found: tuple[str, str] | None) -> None:
    assert cgroups._mount(line) == found
