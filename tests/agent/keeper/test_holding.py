"""Runs, from spawn to release: what a child finds, and what is told of its end."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import fleet_agent.keeper.holding as holding_room
import fleet_agent.keeper.run_records as records_room
import pytest
from fakes.later_format import install
from fakes.supervised_keeper import PROGRAMS, SLEEP, SupervisedKeeper, eventually, is_alive, sh
from fleet_agent.formats.held import RUN_RECORD
from fleet_agent.keeper.folders import FOLDERS
from fleet_agent.keeper.holding import Holding
from fleet_agent.keeper.run_records import Run, RunRecords
from fleet_agent.keeper.spawn import Spare
from fleet_agent.link import messages


@pytest.mark.parametrize(
    ("script", "check"),
    [
        ("exit 0", lambda s: os.WIFEXITED(s) and os.WEXITSTATUS(s) == 0),
        ("exit 3", lambda s: os.WIFEXITED(s) and os.WEXITSTATUS(s) == 3),
        ("kill -9 $$", lambda s: os.WIFSIGNALED(s) and os.WTERMSIG(s) == 9),
        ("kill -15 $$", lambda s: os.WIFSIGNALED(s) and os.WTERMSIG(s) == 15),
    ],
)
def test_a_death_is_told_with_its_status(keeper: SupervisedKeeper, script: str, check: object) -> None:
    link = keeper.accept()
    spawned = link.spawn("g:a", sh(script))
    exited = link.exited("g:a")
    assert callable(check)
    assert check(exited.status), exited
    assert exited.pid == spawned.pid
    assert exited.monotonic >= spawned.monotonic > 0
    assert exited.wall >= spawned.wall > 0


def test_what_a_child_finds(keeper: SupervisedKeeper, tmp_path: Path) -> None:
    link = keeper.accept()
    argv = ["other name", "-IS", str(PROGRAMS / "report_self.py")]
    fields: dict[str, Any] = {
        "executable": sys.executable,
        "directory": str(tmp_path),
        "umask": 0o027,
        "nofile": 1000,
    }
    spawned = link.spawn("g:a", argv, environment={"ADDED": "ä=1"}, **fields)
    found = json.loads(link.read_all("g:a"))
    assert found["fds"] == [0, 1, 2]
    assert found["nofile"] == 1000
    assert found["signals"] == {"SigBlk": 0, "SigIgn": 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)}
    assert found["cwd"] == str(tmp_path)
    assert found["group_leader"]
    assert found["umask"] == 0o027
    assert found["argv0"] == "other name"
    assert found["environment"]["ADDED"] == "ä=1"
    assert found["environment"]["PATH"] == os.environ["PATH"]
    assert not found["stderr_is_stdout"]
    assert link.exited("g:a").pid == spawned.pid


def test_a_core_dump_is_in_the_status(keeper: SupervisedKeeper, tmp_path: Path) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("ulimit -c unlimited; kill -QUIT $$"), directory=str(tmp_path))
    status = link.exited("g:a").status
    assert os.WTERMSIG(status) == signal.SIGQUIT
    assert os.WCOREDUMP(status) or not list(tmp_path.glob("core*"))


def test_redirected_stderr_goes_to_stdout(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("echo one; echo two >&2"), streams=["stdin", "stdout"])
    assert link.read_all("g:a") == b"one\ntwo\n"


def test_streams_that_are_not_asked_for_are_null(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    spawned = link.spawn("g:a", sh("cat; readlink /proc/$$/fd/0"), streams=["stdout"])
    assert spawned.streams == ["stdout"]
    assert link.read_all("g:a") == b"/dev/null\n"


def test_stdin_is_written_by_the_supervisor(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("read line; echo got $line"))
    os.write(link.ends["g:a", 1]["stdin"], b"words\n")
    assert link.read_all("g:a") == b"got words\n"


def test_release_removes_every_trace(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    run = keeper.state / "run"
    for name in ("g:a", "g/b", "x" * 300):
        link.spawn(name, sh("exit 0"))
        link.exited(name)
        eventually(lambda: len(list((run / "runs").iterdir())) == 1, "the record")
        assert len(list((run / "fifos").iterdir())) == 3
        link.send(messages.Release(name, 1))
        eventually(lambda: not list((run / "runs").iterdir()) and not list((run / "fifos").iterdir()))
    fds = len(os.listdir(f"/proc/{keeper.process.pid}/fd"))
    link.spawn("g:a", sh("exit 0"), run=2)
    link.exited("g:a", 2)
    link.send(messages.Release("g:a", 2))
    eventually(lambda: len(os.listdir(f"/proc/{keeper.process.pid}/fd")) == fds, "the descriptors")


def test_a_living_run_is_not_released(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = link.spawn("g:a", SLEEP).pid
    link.send(messages.Release("g:a", 1))
    link.send(messages.Release("g:unknown", 1))
    link.spawn("g:b", SLEEP)
    os.kill(pid, signal.SIGKILL)
    link.exited("g:a")
    assert "still lives" in keeper.said()


def test_a_run_that_is_held_is_never_started_twice(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", SLEEP)
    link.ask_spawn("g:a", SLEEP)
    link.spawn("g:b", SLEEP)
    assert link.has_nothing_new()
    assert "held already" in keeper.said()


@pytest.mark.parametrize(
    ("fields", "stage", "words"),
    [
        ({"executable": "/nowhere/x"}, "exec", "couldn't exec /nowhere/x: ENOENT"),
        ({"executable": "/"}, "exec", "couldn't exec /: EACCES"),
        ({"directory": "/nowhere"}, "chdir", "couldn't chdir to /nowhere: ENOENT"),
        ({"directory": "/dev/null"}, "chdir", "couldn't chdir to /dev/null: ENOTDIR"),
        ({"nofile": 10**9}, "limit", "too many open files to spawn 'a'"),
        ({"nofile": 3}, "limit", "too many open files to spawn 'a'"),
        ({"argv": ["a\0b"]}, "exec", "couldn't exec /bin/true: embedded null byte"),
        ({"environment": {"A=B": "1"}}, "exec", "couldn't exec /bin/true: illegal environment variable name"),
        ({"environment": {"A": "x" * 3_000_000}}, "exec", "couldn't exec /bin/true: E2BIG"),
        ({"streams": ["stdout", "stdlog"]}, "fifo", "stdlog"),
        ({"streams": ["stdout", "stdout"]}, "fifo", "stdout"),
    ],
)
def test_a_failed_start_is_told_with_its_stage(
    keeper: SupervisedKeeper, fields: dict[str, Any], stage: str, words: str
) -> None:
    if "nofile" in fields and fields["nofile"] > 10 and os.geteuid() == 0:
        fields["nofile"] = 2**40
    link = keeper.accept()
    link.ask_spawn("g:a", **{"argv": ["/bin/true"], "executable": "/bin/true", **fields})
    failed = link.expect(messages.SpawnFailed)
    assert (failed.process, failed.run, failed.stage) == ("g:a", 1, stage)
    assert failed.errno > 0
    assert words in failed.message
    assert not list((keeper.state / "run" / "fifos").iterdir())
    assert not list((keeper.state / "run" / "runs").iterdir())
    link.spawn("g:a", sh("exit 0"))
    link.exited("g:a")


def test_a_script_without_interpreter_line_fails_to_exec(keeper: SupervisedKeeper, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("echo")
    script.chmod(0o755)
    link = keeper.accept()
    link.ask_spawn("g:a", [str(script)])
    assert link.expect(messages.SpawnFailed).message == f"couldn't exec {script}: ENOEXEC"


def test_signals_are_sent_once_by_ordinal(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    script = 'trap "echo hup" HUP; trap "echo usr" USR1; echo up; while :; do sleep 0.01; done'
    link.spawn("g:a", sh(script))
    assert link.read("g:a", 3) == b"up\n"
    link.send(messages.SendSignal("g:a", 1, signal.SIGHUP, 1))
    assert link.read("g:a", 4) == b"hup\n"
    link.send(messages.SendSignal("g:a", 1, signal.SIGHUP, 1))
    link.kill()
    link = keeper.accept(begin=False)
    assert link.expect(messages.Child).signals == 1
    link.send(messages.SendSignal("g:a", 1, signal.SIGHUP, 1))
    link.send(messages.SendSignal("g:a", 2, signal.SIGHUP, 2))
    link.send(messages.SendSignal("g:a", 1, signal.SIGUSR1, 2))
    assert link.read("g:a", 4) == b"usr\n"


def test_a_signal_to_the_group_reaches_the_children_of_the_child(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("sleep 1000 & echo $!; wait"))
    grandchild = int(link.read("g:a", 2) + os.read(link.ends["g:a", 1]["stdout"], 100))
    link.send(messages.SendSignal("g:a", 1, signal.SIGTERM, 1, to_group=True))
    link.exited("g:a")
    eventually(lambda: not is_alive(grandchild))
    link.send(messages.SendSignal("g:a", 1, signal.SIGTERM, 2, to_group=True))
    link.send(messages.SendSignal("g:a", 1, signal.SIGTERM, 3))
    link.spawn("g:b", SLEEP)
    assert link.has_nothing_new()


def test_a_signal_that_does_not_exist_is_reported(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", SLEEP)
    link.send(messages.SendSignal("g:a", 1, 99, 1))
    assert link.expect(messages.SignalFailed) == messages.SignalFailed("g:a", 1, 99, 22)


def test_a_format_that_is_not_written_breaks_the_link(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.WriteAs("run_record", RUN_RECORD.version))
    link.spawn("g:a", SLEEP)
    link.send(messages.WriteAs("run_record", 99))
    eventually(lambda: "no run record is written in format 99" in keeper.said())


def test_all_records_are_written_anew_for_an_older_keeper_to_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in (holding_room, records_room):
        install(monkeypatch, room, "RUN_RECORD", "ticks", "start")
    for name in FOLDERS:
        (tmp_path / name).mkdir()
    run = Run("g:a", 1, "g%3Aa.1", ["stdin", "stdout", "stderr"], str(tmp_path / "fifos"))
    run.pid, run.status = 77, 256
    RunRecords(str(tmp_path / "runs"), str(tmp_path / "fifos")).write(run)
    path = tmp_path / "runs" / "g%3Aa.1.json"
    assert json.loads(path.read_text())["version"] == 2
    holding = Holding(str(tmp_path), {}, Spare())
    holding.adopt()
    holding.write_records_as(2)
    assert not holding.has_unwritten
    holding.write_records_as(1)
    assert (holding.has_unwritten, holding.record_version) == (True, 1)
    holding.write_some(10)
    assert json.loads(path.read_text())["version"] == 1
    holding.release("g:a", 1)
