"""Another version's trial is run and heard to its end, whatever it says."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest
from fakes.loop_turns import turn_until
from fleet_agent.supervisor import trial_run
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.trial_run import Said, TrialRun


def said_by(program: str) -> Said:
    loop = Loop(time.monotonic)
    said: list[Said] = []
    TrialRun(loop, [sys.executable, "-ISc", program], dict(os.environ), said.append)
    turn_until(loop, lambda: bool(said))
    return said[0]


def test_what_it_prints_is_heard() -> None:
    before = os.listdir("/proc/self/fd")
    said = said_by("import sys; print('x' * 200_000); print('oh', file=sys.stderr); sys.exit(3)")
    assert len(said.output) == 200_001
    assert said.errors == b"oh\n"
    assert said.status is not None
    assert os.waitstatus_to_exitcode(said.status) == 3
    # The loop's own descriptor goes with it.
    assert len(os.listdir("/proc/self/fd")) <= len(before) + 1


def test_what_is_beyond_the_bound_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_run, "MAX_BYTES", 1000)
    assert said_by("print('x' * 500_000)").output == b"x" * 1000


def test_one_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_run, "MAX_SECONDS", 0.2)
    assert said_by("import time; time.sleep(1000)").status is None


def test_one_that_is_killed() -> None:
    status = said_by("import os; os.kill(os.getpid(), 9)").status
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    loop = Loop(time.monotonic)
    with pytest.raises(FileNotFoundError):
        TrialRun(loop, [str(tmp_path / "none")], {}, lambda _: None)
    assert len(os.listdir("/proc/self/fd")) == len(before) + 1


def test_one_that_cannot_be_watched_is_ended_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise OSError(23, "Too many open files in system")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    loop = Loop(time.monotonic)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="Too many open files in system"):
        TrialRun(loop, ["/bin/sleep", "1000"], {}, lambda _: None)
    assert len(os.listdir("/proc/self/fd")) <= before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
