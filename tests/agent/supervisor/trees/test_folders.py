"""What is noted of cgroups goes with them: else a supervisor would grow with every run."""

import time
from collections.abc import Callable
from pathlib import Path

from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.trees.cgroups import Home
from fleet_agent.supervisor.trees.folders import Folders
from fleet_agent.supervisor.trees.thread import TreeThread


def turn_until(loop: Loop, is_so: Callable[[], bool]) -> None:
    def look() -> None:
        if is_so():
            loop.stop()
        else:
            loop.after(0.01, look)

    look()
    loop.after(10.0, loop.stop)
    loop.run()
    assert is_so()


def test_a_run_that_has_ended_is_forgotten_with_its_cgroup(tmp_path: Path) -> None:
    home = Home(str(tmp_path), "us")
    for key in (("p", 1), ("p", 2), ("q", 7)):
        Path(home.of_run(key)).mkdir(parents=True)
    warnings: list[str] = []
    loop = Loop(time.monotonic)
    folders = Folders(
        loop, TreeThread(loop, warnings.append), home, frozenset(), "us", warnings.append, lambda: None
    )
    assert len(folders.paths("p")) == 2
    folders.ended(("p", 2))
    turn_until(loop, lambda: not folders.paths("p"))
    assert folders.paths("q") == []
    assert list(Path(home.path).iterdir()) == []
    assert warnings == []
