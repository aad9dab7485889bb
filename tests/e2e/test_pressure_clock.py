"""The time of day jumps by a day, forward and back: nothing is restarted, forgotten, early or late."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from real.agent import PROGRAMS, RealAgent, program
from real.logs import whole_lines
from real.waiting import wait_for

DAY = 86_400


@pytest.fixture
def shifted(tmp_path: Path) -> dict[str, str]:
    """The environment of an agent whose time of day is off by the seconds in the file `clock`."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler to shift a clock with")
    library = tmp_path / "shifted.so"
    source = PROGRAMS / "shifted_clock.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    (tmp_path / "clock").write_text("0")
    return {"LD_PRELOAD": str(library), "FLEET_TEST_CLOCK": str(tmp_path / "clock")}


def test_a_clock_that_jumps_a_day_both_ways_changes_nothing(tmp_path: Path, shifted: dict[str, str]) -> None:
    text = (
        f"[program:talk]\ncommand={program('lines', 'talk', 0, 0.005)}\n"
        f"stdout_logfile={tmp_path}/talk.log\nstdout_logfile_maxbytes=2KB\nstdout_logfile_backups=1000\n"
        f"[program:back]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\nautorestart=true\n"
        f"[program:fails]\ncommand={program('exits_after', 0, 1)}\nstartretries=1\nautostart=false\n"
        f"[program:stubborn]\ncommand={program('ignores_term')}\nstartsecs=0\nstopwaitsecs=1\n"
        f"stdout_logfile={tmp_path}/stubborn.log\n"
    )
    with RealAgent(tmp_path, text, environ=shifted) as agent:
        talk = agent.wait_state("talk", "RUNNING")
        wait_for((tmp_path / "stubborn.log").read_text, what="it ignores signals")
        first = agent.operate("restart", "back", key="once")
        now = agent.ask("status")["now"]
        for number, jump in enumerate((DAY, -DAY)):
            (tmp_path / "clock").write_text(str(jump))
            assert abs(agent.ask("status")["now"] - now - jump) < 3600, "the clock has not jumped"
            rows = agent.rows()
            assert rows["talk:talk"]["pid"] == talk["pid"]
            for row in rows.values():
                assert row["uptime"] is None or 0 <= row["uptime"] < 3600
            # Timers: a start that fails, a stop that is not obeyed.
            agent.operate("start", "fails", wait=False)
            assert agent.wait_state("fails", "FATAL", 20)["failures"] == 2
            if number == 0:
                agent.operate("stop", "stubborn")
                assert agent.row("stubborn")["exit"] == {"code": None, "signal": 9, "core": False}
            # What is known of commands.
            again = agent.operate("restart", "back", key="once")
            assert (again["replayed"], again["operation_id"]) == (True, first["operation_id"])
            # Deaths, and a supervisor that begins on the other side of the jump.
            back = agent.wait_state("back", "RUNNING")
            os.kill(back["pid"], signal.SIGKILL)
            run = back["run"] + 1
            wait_for(lambda: agent.row("back")["run"], lambda seen, run=run: seen == run, what="its next run")  # type: ignore[misc]
            agent.wait_replaced(agent.kill_supervisor())
            row = agent.row("talk")
            assert (row["pid"], row["run"], row["state"]) == (talk["pid"], 1, "RUNNING")
            assert row["uptime"] is not None and 0 <= row["uptime"] < 3600
            assert agent.operate("restart", "back", key="once")["replayed"]
        agent.operate("stop", "talk")
        lines = whole_lines(tmp_path / "talk.log")
        assert lines == [f"talk {number}" for number in range(len(lines))]
        assert len(list(tmp_path.glob("talk.log.*"))) > 1
