"""`fleet-agent stop`, `detach` and `leave` on a real agent."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fleet_agent.commands import ending
from real.agent import AGENT, RealAgent, alive, program
from real.waiting import wait_for


def end(agent: RealAgent, how: str, **environ: str) -> str:
    """End it by a command; what that prints."""
    assert agent.keeper is not None
    argv = [*AGENT, how, "--state-dir", str(agent.state_dir)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=60, env={**os.environ, **environ}, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert agent.keeper.wait(10) == 0
    return done.stdout


def one_writer(folder: Path) -> str:
    return (
        f"[program:w]\ncommand={program('lines', 'w', 0, 0.005)}\n"
        f"stdout_logfile={folder}/w.log\nstderr_logfile=NONE\n"
    )


@pytest.fixture(autouse=True)
def no_runlevel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNLEVEL", raising=False)


def test_after_detach_the_programs_run_on_and_the_next_agent_has_them(tmp_path: Path) -> None:
    with RealAgent(tmp_path, one_writer(tmp_path)) as agent:
        before = agent.wait_state("w", "RUNNING")
        for _ in range(2):
            said = end(agent, "detach")
            assert "the programs run on" in said
            assert alive(before["pid"])
            assert not (agent.state_dir / "endpoint.json").exists()
            agent.start()
            row = agent.row("w")
            assert (row["pid"], row["run"], row["state"]) == (before["pid"], before["run"], "RUNNING")
        count = len((tmp_path / "w.log").read_text().splitlines())
        wait_for(lambda: len((tmp_path / "w.log").read_text().splitlines()) > count + 10)
        lines = (tmp_path / "w.log").read_text().splitlines()[:count]
        assert lines == [f"w {number}" for number in range(count)]


def test_a_supervisor_that_is_stuck_keeps_nobody_from_detaching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RealAgent(tmp_path, one_writer(tmp_path)) as agent:
        pid = agent.wait_state("w", "RUNNING")["pid"]
        supervisor = agent.hello()["supervisor_pid"]
        os.kill(supervisor, signal.SIGSTOP)
        end(agent, "detach")
        assert alive(pid)
        assert not alive(supervisor)
        assert "leaves without it" in agent.said()
        agent.start()
        assert agent.row("w")["pid"] == pid


def test_stop_ends_the_programs_and_a_second_stop_finds_nothing(tmp_path: Path) -> None:
    with RealAgent(tmp_path, one_writer(tmp_path)) as agent:
        pid = agent.wait_state("w", "RUNNING")["pid"]
        assert "everything is stopped" in end(agent, "stop")
        assert not alive(pid)
        assert "no agent runs with the state folder" in end(agent, "stop")
        assert "no agent runs with the state folder" in end(agent, "leave")


def test_an_agent_that_is_killed_while_it_stops_has_not_stopped_everything(tmp_path: Path) -> None:
    text = f"[program:a]\ncommand={program('ignores_term')}\nstopwaitsecs=600\nstdout_logfile=NONE\n"
    with RealAgent(tmp_path, text) as agent:
        assert agent.keeper is not None
        pid = agent.wait_state("a", "RUNNING")["pid"]
        argv = [*AGENT, "stop", "--state-dir", str(agent.state_dir)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as stop:
            agent.wait_state("a", "STOPPING")
            agent.keeper.kill()
            _, said = stop.communicate(timeout=20)
        assert stop.returncode == 1
        assert "before everything was stopped" in said
        assert alive(pid)
        os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="systemd is asked on this host, no runlevel")
def test_leave_detaches_unless_the_host_goes_down(tmp_path: Path) -> None:
    with RealAgent(tmp_path, one_writer(tmp_path)) as agent:
        pid = agent.wait_state("w", "RUNNING")["pid"]
        end(agent, "leave", RUNLEVEL="2")
        assert alive(pid)
        agent.start()
        assert "since the runlevel is 6" in end(agent, "leave", RUNLEVEL="6")
        assert not alive(pid)


def test_a_stale_lock_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "agent.lock").write_text(f"{os.getpid()}\n")
    argv = [*AGENT, "stop", "--state-dir", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0
    assert "no agent runs" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "usage: fleet-agent stop|detach|leave"),
        (["now"], 2, "stop takes no 'now'"),
        (["-c", "x"], 2, "stop takes no '-c'"),
        (["--state-dir"], 2, "--state-dir needs a value"),
    ],
)
def test_bad_use(arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert ending.run("stop", arguments, {}) == code
    assert words in "".join(capsys.readouterr())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may ask as somebody else")
def test_a_stranger_may_not_end_it(tmp_path: Path) -> None:
    with RealAgent(tmp_path, "") as agent:
        code = (
            "import os, sys\n"
            "from fleet_agent.commands import ending\n"
            "os.setuid(65534)\n"
            f"sys.exit(ending.run('stop', ['--state-dir', {str(agent.state_dir)!r}], {{}}))"
        )
        for folder in (tmp_path, *tmp_path.parents):
            if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
                folder.chmod(folder.stat().st_mode | 0o011)
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 1
        assert "Permission denied (ask as root or as the agent's user)" in done.stderr
        assert agent.is_up()
