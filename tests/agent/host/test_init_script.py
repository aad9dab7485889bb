"""The init script: sound as a shell script, and at work with a real agent."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fleet_agent.host.init_script import init_script_text
from fleet_agent.host.installation import Installation
from real.agent import AGENT, alive
from real.waiting import wait_for


def write(folder: Path, command: list[str] | None = None) -> Path:
    state = folder / "st ate"
    conf = folder / "agent.conf"
    conf.write_text(
        f"[supervisord]\nlogfile={folder}/activity.log\npidfile={folder}/agent.pid\nsilent=true\n"
        f"[program:a]\ncommand=/bin/sleep 1000\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
    )
    script = folder / "fleet-agent"
    installation = Installation(tuple(command or AGENT), str(conf), str(state), 60, False)
    script.write_text(init_script_text(installation, str(state / "stderr.log")))
    return script


def call(script: Path, action: str, **environ: str) -> tuple[int, str]:
    """Its exit code and all it prints."""
    done = subprocess.run(
        ["/bin/sh", str(script), action],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=90,
        env={**{name: value for name, value in os.environ.items() if name != "RUNLEVEL"}, **environ},
        check=False,
    )
    return done.returncode, done.stdout


def child_pid(folder: Path) -> int:
    fleetctl = str(Path(AGENT[0]).with_name("fleetctl"))
    argv = [fleetctl, "pid", "a", "--state-dir", str(folder / "st ate")]

    def look() -> int:
        text = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False).stdout.strip()
        return int(text) if text.isdecimal() else 0

    return wait_for(look, what="the pid of a")


def test_it_is_a_sound_script(tmp_path: Path) -> None:
    script = write(tmp_path, ["/an odd/fleet agent's", "&"])
    subprocess.run(["/bin/sh", "-n", str(script)], check=True, timeout=20)
    shellcheck = shutil.which("shellcheck")
    if shellcheck:
        done = subprocess.run([shellcheck, str(script)], stdout=subprocess.PIPE, timeout=60, check=False)
        assert done.stdout.decode() == ""
    assert "### BEGIN INIT INFO" in script.read_text()


@pytest.mark.timeout(180)
def test_a_life_under_it(tmp_path: Path) -> None:
    script = write(tmp_path)
    assert call(script, "status")[0] == 3
    code, said = call(script, "start")
    try:
        assert (code, "fleet-agent started" in said) == (0, True), said
        pid = child_pid(tmp_path)
        assert call(script, "status")[0] == 0
        assert "runs already" in call(script, "start")[1]
        code, said = call(script, "restart")
        assert (code, "started" in said) == (0, True), said
        assert child_pid(tmp_path) == pid
        code, said = call(script, "stop", RUNLEVEL="2")
        assert code == 0
        if not os.path.isdir("/run/systemd/system"):
            assert "the programs run on" in said
        assert call(script, "status")[0] == 3
        assert call(script, "stop", RUNLEVEL="2")[0] == 0, "what does not run is stopped already"
        assert alive(pid)
        assert call(script, "start")[0] == 0
        assert child_pid(tmp_path) == pid
    finally:
        assert call(script, "stop-all")[0] == 0
    assert not alive(pid)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    script = write(tmp_path)
    (tmp_path / "agent.conf").write_text("[program:a]\n")
    code, said = call(script, "start")
    assert code == 1
    assert "did not start; the end of" in said
    assert "command" in said


def test_what_it_does_not_know(tmp_path: Path) -> None:
    code, said = call(write(tmp_path), "dance")
    assert code == 2
    assert "usage:" in said
