"""The end of descendants, where the kernel does not let us signal them; the rest is in test_trees.py."""

import errno
import subprocess
import time
from collections.abc import Iterable, Iterator

import pytest
from fakes.loop_turns import turn_until
from fleet_agent.core.events import TreeEnded
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.trees import procfs, signals
from fleet_agent.supervisor.trees.hunting import Hunt


class Chase:
    """A hunt for one real process that was found by reading /proc."""

    def __init__(self, pid: int) -> None:
        self.loop = Loop(time.monotonic)
        self.pid = pid
        self.looks = 0
        self.ends: list[TreeEnded] = []
        self.hunt = Hunt(self.loop, ("g:a", 3), self.look, lambda _, event: self.ends.append(event))

    def look(self, hunt: Hunt) -> None:
        self.looks += 1
        line = procfs.stat(self.pid)
        hunt.found([], {self.pid: line.started} if line and line.is_alive else {}, leader=0)


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    child = subprocess.Popen(["/bin/sleep", "1000"])
    yield child
    child.kill()
    child.wait()


def refuse(patch: pytest.MonkeyPatch, error: OSError) -> None:
    def send(pids: Iterable[int], number: int, is_meant: object) -> dict[int, OSError]:
        return dict.fromkeys(pids, error)

    patch.setattr(signals, "send", send)


def test_who_belongs_to_somebody_else_is_told_and_left(
    sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, PermissionError(errno.EPERM, "no"))
    chase = Chase(sleeper.pid)
    chase.hunt.ask(15)
    turn_until(chase.loop, lambda: chase.looks)
    assert chase.ends == [], "it may still go by itself"
    chase.hunt.kill(is_awaited=True)
    turn_until(chase.loop, lambda: chase.ends)
    words = "1 descendant cannot be signalled: Operation not permitted"
    assert chase.ends == [TreeEnded(3, ended=0, killed=0, remaining=words)]
    assert sleeper.poll() is None


def test_a_refusal_of_the_moment_is_no_end(
    sleeper: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, OSError(errno.EMFILE, "no"))
        chase = Chase(sleeper.pid)
        chase.hunt.ask(9)
        turn_until(chase.loop, lambda: chase.looks)
        assert chase.ends == []
    chase.hunt.kill(is_awaited=True)
    turn_until(chase.loop, lambda: chase.ends)
    assert chase.ends == [TreeEnded(3, killed=1)]
    assert sleeper.wait(10) == -9
