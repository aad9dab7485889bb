"""A child that prints as fast as it can: bounded memory, live answers, and nobody else waits for long."""

import os
import signal
import time
from pathlib import Path

from real.agent import RealAgent, program
from real.logs import whole_log
from real.processes import resident_bytes
from real.waiting import wait_for

MEGABYTE = 1024 * 1024


def test_a_flood_harms_nobody(tmp_path: Path) -> None:
    text = (
        f"[program:flood]\ncommand={program('floods', 3)}\nstartsecs=0\n"
        f"stdout_logfile={tmp_path}/flood.log\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=3\n"
        f"[program:back]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\nautorestart=true\n"
    )
    with RealAgent(tmp_path, text) as agent:
        pid = agent.wait_state("back", "RUNNING")["pid"]
        hello = agent.hello()
        os.kill(pid, signal.SIGKILL)
        slowest, largest = 0.0, 0
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            begun = time.monotonic()
            agent.ask("status")
            slowest = max(slowest, time.monotonic() - begun)
            largest = max(largest, resident_bytes(hello["supervisor_pid"]))
        # Generous: the machine may be busy. Without a thread of its own a flood would take all of it.
        assert slowest < 2.0
        assert largest < 64 * MEGABYTE
        assert resident_bytes(hello["pid"]) < 40 * MEGABYTE
        assert agent.row("back")["run"] == 2
        wait_for((tmp_path / "flood.log.3").exists, what="rotation")
        wait_for(lambda: b"\nwrote " in whole_log(tmp_path / "flood.log"), what="its last words", seconds=20)
        sizes = [path.stat().st_size for path in tmp_path.glob("flood.log*")]
        assert len(sizes) == 4
        assert max(sizes) <= MEGABYTE + 65_536
