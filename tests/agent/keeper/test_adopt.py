"""A new keeper finds what a killed one held, by records, FIFOs and the kernel."""

import errno
import os
import signal
import stat
import sys
from pathlib import Path

import pytest
from fakes.descriptors import open_pidfds
from fakes.supervised_keeper import PROGRAMS, SLEEP, Link, SupervisedKeeper, eventually, is_alive, sh
from fleet_agent.keeper import adopt, procfs
from fleet_agent.keeper.run_records import Run, RunRecords
from fleet_agent.link import messages


def kill_all_at_once(keeper: SupervisedKeeper, link: Link) -> None:
    keeper.process.kill()
    keeper.process.wait()
    link.kill()


def fifo_names(keeper: SupervisedKeeper) -> list[str]:
    return sorted(os.listdir(keeper.state / "run" / "fifos"))


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def records(keeper: SupervisedKeeper) -> list[Path]:
    return sorted((keeper.state / "run" / "runs").glob("*.json"))


def test_a_new_keeper_has_the_children_of_one_that_was_killed(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    spawned = link.spawn("g:a", sh('trap "echo hup" HUP; echo up; while :; do sleep 0.01; done'))
    keeper.note(spawned.pid)
    assert link.read("g:a", 3) == b"up\n"
    link.send(messages.SendSignal("g:a", 1, signal.SIGHUP, 4))
    assert link.read("g:a", 4) == b"hup\n"
    eventually(lambda: '"signals":4' in records(keeper)[0].read_text())
    kill_all_at_once(keeper, link)
    keeper.again()
    link = keeper.accept(begin=False)
    child = link.expect(messages.Child)
    link.expect(messages.Begin)
    assert child == messages.Child(
        "g:a",
        1,
        spawned.pid,
        spawned.monotonic,
        spawned.wall,
        4,
        ["stdin", "stdout", "stderr"],
        spawned.fifos,
        adopted=True,
    )
    link.ask_spawn("g:a", SLEEP)
    link.send(messages.SendSignal("g:a", 1, signal.SIGHUP, 4))
    link.send(messages.SendSignal("g:a", 1, signal.SIGHUP, 5))
    assert link.read("g:a", 4) == b"hup\n"
    link.send(messages.SendSignal("g:a", 1, signal.SIGKILL, 6))
    exited = link.exited("g:a")
    assert (exited.pid, exited.status) == (spawned.pid, signal.SIGKILL)
    link.send(messages.Release("g:a", 1))
    eventually(lambda: not fifo_names(keeper) and not records(keeper))


def test_what_a_child_writes_while_nobody_lives_is_kept(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    spawned = link.spawn("g:a", [sys.executable, "-IS", str(PROGRAMS / "write_numbers.py")])
    keeper.note(spawned.pid)
    data = link.read("g:a", 5000)
    kill_all_at_once(keeper, link)
    keeper.again()
    link = keeper.accept()
    data += link.read("g:a", 150_000)
    lines = data.split(b"\n")[:-1]
    assert lines == [b"%d" % number for number in range(len(lines))]
    assert is_alive(spawned.pid)


@pytest.mark.parametrize(("code", "status"), [(0, 0), (3, 3 << 8)])
def test_the_status_of_an_adopted_child_is_asked_from_the_kernel(
    keeper: SupervisedKeeper, code: int, status: int
) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", sh(f"read line; exit {code}")).pid)
    eventually(lambda: records(keeper))
    kill_all_at_once(keeper, link)
    keeper.again()
    link = keeper.accept()
    os.write(link.ends["g:a", 1]["stdin"], b"\n")
    exited = link.exited("g:a")
    assert (exited.pid, exited.status) == (pid, status)


def test_a_child_that_ended_meanwhile_and_was_reaped_has_an_unknown_status(
    keeper: SupervisedKeeper,
) -> None:
    link = keeper.accept()
    dead = link.spawn("g:a", SLEEP).pid
    keeper.note(link.spawn("g:b", SLEEP).pid)
    eventually(lambda: len(records(keeper)) == 2)
    kill_all_at_once(keeper, link)
    os.kill(dead, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{dead}").exists())
    keeper.again()
    link = keeper.accept(begin=False)
    child = link.expect(messages.Child, lambda m: m.process == "g:a")
    assert (child.pid, child.status, child.adopted) == (dead, -1, True)
    assert child.ended_wall > 0
    link.expect(messages.Begin)
    assert link.read_all("g:a") == b""
    link.send(messages.Release("g:a", 1))
    eventually(lambda: len(records(keeper)) == 1)


@pytest.mark.parametrize(
    "content", [None, '{"version":1,"process":"g:a","run":3,', '{"version":99}', "\x00" * 50]
)
def test_a_run_without_a_good_record_is_found_by_its_fifos(
    keeper: SupervisedKeeper, content: str | None
) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a/ä", SLEEP, run=3).pid)
    ended = link.spawn("g:b", SLEEP).pid
    eventually(lambda: len(records(keeper)) == 2)
    kill_all_at_once(keeper, link)
    os.kill(ended, signal.SIGKILL)
    eventually(lambda: not is_alive(ended))
    for path in records(keeper):
        path.unlink()
        if content is not None:
            path.write_text(content)
    keeper.again()
    link = keeper.accept(begin=False)
    child = link.expect(messages.Child)
    link.expect(messages.Begin)
    assert link.has_nothing_new() or [type(m) for m in link.heard] == [messages.Hello]
    assert (child.process, child.run, child.pid, child.status) == ("g:a/ä", 3, pid, None)
    assert len(fifo_names(keeper)) == 3
    assert ("is no run record" in keeper.said()) is (content is not None)
    os.kill(pid, signal.SIGKILL)
    assert link.exited("g:a/ä", 3).status == signal.SIGKILL


def test_fifos_that_were_removed_are_reached_through_the_child(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", sh("read line; echo got $line; sleep 1000")).pid)
    eventually(lambda: [record for record in records(keeper) if record.read_text().endswith("}")])
    kill_all_at_once(keeper, link)
    for name in fifo_names(keeper):
        (keeper.state / "run" / "fifos" / name).unlink()
    keeper.again()
    link = keeper.accept()
    os.write(link.ends["g:a", 1]["stdin"], b"it\n")
    assert link.read("g:a", 7) == b"got it\n"
    assert is_alive(pid)


def test_a_stopped_child_outlives_the_keeper(keeper: SupervisedKeeper) -> None:
    # The kernel hangs up on a group that has become orphaned with a stopped member.
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", SLEEP).pid)
    os.kill(pid, signal.SIGSTOP)
    eventually(lambda: records(keeper) and state_of(pid) == "T")
    kill_all_at_once(keeper, link)
    keeper.again()
    keeper.accept()
    assert state_of(pid) == "T"


def test_a_child_cannot_lead_us_to_a_file_that_it_may_not_read(
    keeper: SupervisedKeeper, tmp_path: Path
) -> None:
    # As root we could open whatever the child holds, if only by name.
    secret = tmp_path / "shadow"
    secret.write_text("hash\n")
    link = keeper.accept()
    keeper.note(link.spawn("g:a", sh(f"exec 1< {secret}; echo up >&2; sleep 1000")).pid)
    assert link.read("g:a", 3, "stderr") == b"up\n"
    eventually(lambda: [record for record in records(keeper) if record.read_text().endswith("}")])
    kill_all_at_once(keeper, link)
    for name in fifo_names(keeper):
        (keeper.state / "run" / "fifos" / name).unlink()
    keeper.again()
    link = keeper.accept()
    ends = link.ends["g:a", 1]
    assert stat.S_ISFIFO(os.fstat(ends["stderr"]).st_mode)
    assert os.fstat(ends["stdout"]).st_rdev == os.stat(os.devnull).st_rdev


def test_leftover_fifos_are_swept(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.Detach())
    keeper.wait()
    link.kill()
    fifos = keeper.state / "run" / "fifos"
    fifos.mkdir(mode=0o700)
    os.mkfifo(fifos / "old.1.out")
    os.mkfifo(fifos / "strange")
    keeper.again()
    link = keeper.accept(begin=False)
    link.expect(messages.Begin)
    assert fifo_names(keeper) == []


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "fifos").mkdir()
    run = Run("g:a", 1, "g%3Aa.1", [], str(tmp_path / "fifos"))
    run.pid = os.getpid()
    run.boot_id = "this boot"
    found = procfs.stat(run.pid)
    assert found is not None
    run.ticks = found.ticks
    return run


def test_the_same_process_is_watched(run: Run) -> None:
    assert adopt.take_over(run, "this boot")
    assert run.status is None
    assert run.pidfd >= 0
    os.close(run.pidfd)


@pytest.mark.parametrize("change", ["ticks", "boot_id"])
def test_another_process_of_the_same_pid_is_not_ours(run: Run, change: str) -> None:
    if change == "ticks":
        run.ticks += 1
    else:
        run.boot_id = "an earlier boot"
    before = open_pidfds()
    assert adopt.take_over(run, "this boot")
    assert (run.status, run.pidfd) == (adopt.UNKNOWN_STATUS, -1)
    assert open_pidfds() == before


def test_one_that_has_ended_and_was_not_reaped_has_a_status(run: Run) -> None:
    run.pid = os.spawnv(os.P_NOWAIT, "/bin/false", ["false"])
    os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)
    found = procfs.stat(run.pid)
    assert found is not None
    run.ticks = found.ticks
    before = open_pidfds()
    assert adopt.take_over(run, "this boot")
    assert (run.status, run.pidfd) == (1 << 8, -1)
    assert open_pidfds() == before
    os.waitpid(run.pid, 0)


def test_a_run_that_was_never_forked_is_none(run: Run, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    RunRecords(str(tmp_path / "runs"), str(tmp_path / "fifos")).write(run)
    run.pid = 0
    assert not adopt.take_over(run, "this boot")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EMFILE, errno.ENOMEM])
def test_one_that_may_not_be_watched_is_not_taken_for_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    run = Run("g:a", 1, "g.a.1", ["stdout"], str(tmp_path))
    found = procfs.stat(os.getpid())
    assert found is not None
    run.pid, run.ticks, run.boot_id = os.getpid(), found.ticks, "boot"
    monkeypatch.setattr(os, "pidfd_open", refuse)
    with pytest.raises(OSError, match=os.strerror(number)):
        adopt.take_over(run, "boot")
    assert run.status is None
    # Of one that is gone, nothing is to be watched.
    run.ticks += 1
    assert adopt.take_over(run, "boot")
    assert run.status == adopt.UNKNOWN_STATUS
    for fd in run.ends:
        os.close(fd)
