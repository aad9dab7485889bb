"""Disks that are full, frozen, read-only or gone: supervision goes on, what is lost is told once."""

import itertools
import os
import shutil
import signal
from pathlib import Path

import pytest
from fleet_api.errors import FleetError
from fleet_api.rows import TroubleRow
from real.agent import RealAgent, program
from real.disks import NEEDS_ROOT, LoopDisk, fill, memory_disk, read_only
from real.logs import whole_lines
from real.waiting import wait_for

BACK = (
    "[program:back]\ncommand={command}\nstartsecs=0\nautorestart=true\n"
    "stdout_logfile=NONE\nstderr_logfile=NONE\n"
)


def back() -> str:
    """A program that is to be there again whenever it has ended."""
    return BACK.format(command=program("exits_after", 3600, 0))


def talker(log: Path, name: str = "talk", pause: float = 0.002) -> str:
    return (
        f"[program:{name}]\ncommand={program('lines', name, 0, pause)}\nstartsecs=0\n"
        f"stdout_logfile={log}\nstdout_logfile_maxbytes=0\nstderr_logfile=NONE\n"
    )


def troubles(agent: RealAgent, kind: str) -> list[TroubleRow]:
    rows: list[TroubleRow] = agent.ask("status")["troubles"]
    return [row for row in rows if row["kind"] == kind]


def trouble(agent: RealAgent, kind: str, count: int = 1) -> TroubleRow:
    """The one trouble of a kind, once it has come so often."""
    (row,) = wait_for(
        lambda: troubles(agent, kind),
        lambda rows: bool(rows) and rows[0]["count"] >= count,
        15,
        f"trouble: {kind}",
    )
    return row


def told(agent: RealAgent, words: str) -> int:
    return agent.activity().count(words)


def assert_supervises(agent: RealAgent) -> None:
    """What is killed is started again, and both are told."""
    before = agent.wait_state("back", "RUNNING")
    os.kill(before["pid"], signal.SIGKILL)
    wait_for(
        lambda: agent.row("back"),
        lambda row: row["run"] == before["run"] + 1 and row["state"] == "RUNNING" and row["pid"] > 0,
        what="started again",
    )


@NEEDS_ROOT
@pytest.mark.root
def test_a_full_log_disk_costs_its_output_and_nothing_else(tmp_path: Path) -> None:
    with memory_disk(tmp_path / "logs", 64) as logs:
        filler = fill(logs)
        with RealAgent(tmp_path, talker(logs / "talk.log") + back()) as agent:
            row = trouble(agent, "log", 20)
            assert row["subject"] == str(logs / "talk.log")
            assert "No space left on device; what is printed is lost until it can" in row["message"]
            assert_supervises(agent)
            filler.unlink()
            wait_for(lambda: told(agent, "talk.log works again after"), what="the end of it")
            assert troubles(agent, "log") == []
            assert told(agent, "No space left on device") == 1
            line = next(line for line in agent.activity().splitlines() if "works again" in line)
            assert line.endswith("bytes were lost")
            size = (logs / "talk.log").stat().st_size
            wait_for((logs / "talk.log").stat, lambda found: found.st_size > size, what="further lines")


@NEEDS_ROOT
@pytest.mark.root
def test_a_full_runtime_folder_stops_neither_programs_nor_a_new_supervisor(tmp_path: Path) -> None:
    disk = memory_disk(tmp_path / "state" / "run", 1024, inodes=100)
    with disk as runtime, RealAgent(tmp_path, back()) as agent:
        agent.wait_state("back", "RUNNING")
        filler = fill(runtime)
        assert_supervises(agent)
        for _ in range(60):
            # The last page of each file still takes some.
            agent.operate("restart", "back", key=os.urandom(4).hex())
            if troubles(agent, "journal") and troubles(agent, "results"):
                break
        row = trouble(agent, "journal", 2)
        assert "a new supervisor would not know of changes" in row["message"]
        trouble(agent, "results")
        # No inode is left for a FIFO.
        more = (runtime / f"more{number}" for number in itertools.count())
        made: list[Path] = []

        def state_without_inodes() -> str:
            made.extend(path for path in itertools.islice(more, 20) if _make(path))
            return agent.row("back")["state"]

        state_without_inodes()
        os.kill(agent.wait_state("back", "RUNNING")["pid"], signal.SIGKILL)
        wait_for(state_without_inodes, lambda state: state == "BACKOFF", what="nothing to start with")
        row = trouble(agent, "start of processes")
        assert "tried again" in row["message"]
        agent.wait_replaced(agent.kill_supervisor())
        for path in made:
            path.unlink()
        filler.unlink()
        agent.wait_state("back", "RUNNING", 30)
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], 15, "no trouble any more")
        assert_supervises(agent)
        assert told(agent, "start of processes fails") <= 2, "once by each supervisor"
        assert told(agent, "spawnerr") == 0


def _make(path: Path) -> bool:
    try:
        path.touch()
    except OSError:
        return False
    return True


@NEEDS_ROOT
@pytest.mark.root
def test_a_read_only_state_folder_is_told_and_nothing_stops(tmp_path: Path) -> None:
    log = tmp_path / "talk.log"
    with RealAgent(tmp_path, talker(log).replace("maxbytes=0", "maxbytes=2KB") + back()) as agent:
        agent.wait_state("talk", "RUNNING")
        with read_only(agent.state_dir, agent.state_dir / "run"):
            row = trouble(agent, "positions of logs in", 2)
            assert "Read-only file system; positions in logs may not outlive the agent" in row["message"]
            assert_supervises(agent)
            agent.wait_replaced(agent.kill_supervisor())
            assert_supervises(agent)
            stopped = agent.operate("stop", "talk")["outcomes"][0]
            assert stopped["result"] in {"ok", "failed"}, stopped
            assert agent.row("talk")["state"] == "STOPPED"
        agent.operate("start", "talk")
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], 15, "no trouble any more")
        assert told(agent, "Read-only file system; positions") <= 2


def test_a_log_folder_that_is_deleted_and_made_again(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    names = [f"talk{number}" for number in range(12)]
    config = "".join(talker(logs / f"{name}.log", name, 0.01) for name in names) + back()
    with RealAgent(tmp_path, config) as agent:
        wait_for(lambda: len(list(logs.iterdir())) == 12)
        shutil.rmtree(logs)
        wait_for(lambda: len(troubles(agent, "log")) == 9, what="eight and the others like them")
        assert_supervises(agent)
        # One line each for eight, and one for all others.
        assert told(agent, "No such file or directory") == 9
        logs.mkdir()
        for name in names:
            wait_for((logs / f"{name}.log").exists, what=f"{name} is written again")
        wait_for(lambda: troubles(agent, "log"), lambda rows: rows == [], what="no trouble any more")
        assert told(agent, "works again after") == 9


@NEEDS_ROOT
@pytest.mark.root
def test_a_frozen_log_disk_stops_no_program_and_costs_no_byte(tmp_path: Path) -> None:
    # Outside the agent's folder, so that only logs are on it.
    with LoopDisk(tmp_path / "logs", tmp_path / "image") as disk:
        log = disk.folder / "talk.log"
        with RealAgent(tmp_path, talker(log, pause=0.01) + back()) as agent:
            wait_for(log.exists)
            wait_for(lambda: len(whole_lines(log)) > 5)
            disk.freeze()
            row = trouble(agent, "log disk", 2)
            assert str(log) in row["message"]
            assert_supervises(agent)
            with pytest.raises(FleetError) as refused:
                agent.ask("open_log", process="talk", stream="stdout")
            assert refused.value.code == "LOG_DISK_STALLED"
            assert "log disk stalls" in agent.said()
            disk.thaw()
            wait_for(lambda: troubles(agent, "log disk"), lambda rows: rows == [], what="it is over")
            assert agent.ask("open_log", process="talk", stream="stdout")["end"] > 0
            count = len(whole_lines(log))
            wait_for(lambda: len(whole_lines(log)) > count + 5, what="further lines")
            agent.operate("stop", "talk")
            lines = whole_lines(log)
            assert lines == [f"talk {number}" for number in range(len(lines))]
            wait_for(lambda: told(agent, "log disk works again"), what="told at last")
            assert told(agent, "log disk stalls") == 1


@NEEDS_ROOT
@pytest.mark.root
def test_a_frozen_log_disk_is_told_once_though_nobody_asks(tmp_path: Path) -> None:
    with LoopDisk(tmp_path / "logs", tmp_path / "image") as disk:
        log = disk.folder / "talk.log"
        with RealAgent(tmp_path, talker(log, pause=0.01)) as agent:
            wait_for(lambda: log.exists() and len(whole_lines(log)) > 5, what="its first lines")
            disk.freeze()
            # On its standard error: the activity log waits behind what is written to the disk.
            wait_for(lambda: "log disk stalls" in agent.said(), seconds=25, what="told to nobody")
            disk.thaw()
            agent.wait_told("log disk stalls")
            agent.wait_told("log disk works again")
            assert str(log) in agent.said()


@NEEDS_ROOT
@pytest.mark.root
def test_a_frozen_state_disk_holds_up_a_new_epoch_and_nothing_else(tmp_path: Path) -> None:
    def start(agent: RealAgent, epoch: int) -> str:
        context = {"fleet_id": "prod", "epoch": epoch, "key": os.urandom(4).hex()}
        try:
            agent.ask("operate", verb="start", terms=["back"], context=context)
        except FleetError as error:
            return error.code
        return "ok"

    with (
        LoopDisk(tmp_path / "state", tmp_path / "image") as disk,
        memory_disk(tmp_path / "state" / "run", 1024),
        RealAgent(tmp_path, back()) as agent,
    ):
        agent.wait_state("back", "RUNNING")
        assert start(agent, 3) == "ok"
        disk.freeze()
        assert start(agent, 5) == "EPOCH_NOT_KEPT"
        assert_supervises(agent)
        assert start(agent, 3) == "ok", "nothing was done for the newer one"
        disk.thaw()
        wait_for(lambda: start(agent, 5), lambda said: said == "ok", what="the newer one is kept")
        assert start(agent, 3) == "STALE_EPOCH"
        agent.wait_replaced(agent.kill_supervisor())
        assert start(agent, 3) == "STALE_EPOCH"
