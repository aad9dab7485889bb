"""`fleet-agent pid`: exit codes as an init script's status has them."""

import os
import signal
from pathlib import Path

import pytest
from fleet_agent.commands import pid
from real.agent import RealAgent


def test_an_agent_that_answers_one_that_does_not_and_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pid, "_ANSWER_SECONDS", 0.5)
    with RealAgent(tmp_path, "") as agent:
        assert agent.keeper is not None
        place = ["--state-dir", str(agent.state_dir)]
        assert pid.run(place, {}) == 0
        assert capsys.readouterr().out == f"{agent.keeper.pid}\n"
        supervisor = agent.hello()["supervisor_pid"]
        os.kill(supervisor, signal.SIGSTOP)
        assert pid.run([], {"FLEET_STATE_DIR": str(agent.state_dir)}) == 4
        assert "did not answer" in capsys.readouterr().err
        os.kill(supervisor, signal.SIGCONT)
    assert pid.run(place, {}) == 3
    assert "no agent runs" in capsys.readouterr().err


def test_bad_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert pid.run(["-c", "x"], {}) == 2
    assert "pid takes no '-c'" in capsys.readouterr().err
