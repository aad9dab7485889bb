"""Parts of an agent that are stopped by SIGSTOP: nothing is lost, and whoever asks hears of it."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from real.agent import RealAgent, alive, program
from real.fleet import IMPATIENT, RealFleet
from real.logs import whole_lines
from real.waiting import wait_for

CONFIG = """
[fleet]
listen=127.0.0.1:0
insecure_plaintext=true
[program:back]
command={back}
startsecs=0
autorestart=true
[program:stubborn]
command={stubborn}
stopwaitsecs=1
startsecs=0
stdout_logfile={folder}/stubborn.log
[program:talk]
command={talk}
startsecs=0
stdout_logfile={folder}/talk.log
"""


def config(folder: Path) -> str:
    return CONFIG.format(
        folder=folder,
        back=program("exits_after", 3600, 0),
        stubborn=program("ignores_term"),
        talk=program("lines", "talk", 0, 0.005),
    )


WEB = f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\nautorestart=true\n"


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process that does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        # It may have been replaced.
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


STOP_SECONDS = float(os.environ.get("FLEET_TEST_STOP_SECONDS", "3"))
"""How long supervisor and gateway are stopped."""


def hold(seconds: float) -> None:
    """Let a stop last: that nothing happens meanwhile has no other sign than time."""
    time.sleep(seconds)


def test_what_was_due_while_the_supervisor_was_stopped_is_done_after_it(tmp_path: Path) -> None:
    with RealAgent(tmp_path, config(tmp_path)) as agent:
        pids = {name: agent.wait_state(name, "RUNNING")["pid"] for name in ("back", "stubborn", "talk")}
        wait_for((tmp_path / "stubborn.log").read_text, what="it ignores signals")
        before = agent.hello()
        agent.operate("stop", "stubborn", wait=False)
        agent.wait_state("stubborn", "STOPPING")
        with stopped(before["supervisor_pid"]):
            os.kill(pids["back"], signal.SIGKILL)
            hold(STOP_SECONDS)
            assert alive(pids["stubborn"]), "its time to stop was over while nobody could kill it"
        row = wait_for(lambda: agent.row("back"), lambda row: row["run"] == 2 and row["state"] == "RUNNING")
        assert row["pid"] != pids["back"]
        assert agent.wait_state("stubborn", "STOPPED")["exit"] == {"code": None, "signal": 9, "core": False}
        assert agent.row("talk")["pid"] == pids["talk"]
        agent.operate("stop", "talk")
        lines = whole_lines(tmp_path / "talk.log")
        assert lines == [f"talk {number}" for number in range(len(lines))]
        after = agent.hello()
        assert after["supervisor_pid"] == before["supervisor_pid"]
        assert after["position"]["incarnation"] == before["position"]["incarnation"]
        wait_for(lambda: _serves(agent), what="a gateway that serves")
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], what="no trouble")


def test_a_gateway_that_was_stopped_serves_again_or_another_does(tmp_path: Path) -> None:
    with RealAgent(tmp_path, config(tmp_path)) as agent:
        pid = agent.wait_state("back", "RUNNING")["pid"]
        wait_for(lambda: _serves(agent), what="a gateway that serves")
        before = agent.hello()
        with stopped(before["gateway_pid"]):
            hold(STOP_SECONDS)
            assert agent.row("back")["pid"] == pid
        wait_for(lambda: _serves(agent), what="a gateway that serves")
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], what="no trouble")
        assert agent.hello()["supervisor_pid"] == before["supervisor_pid"]


def test_a_stopped_keeper_is_told_by_everybody_and_makes_up_for_it(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {"web1": WEB}, settings=IMPATIENT) as fleet:
        agent = fleet.agents["web1"]
        fleet.wait_connected()
        pid = agent.wait_state("web", "RUNNING")["pid"]
        with stopped(agent.hello()["pid"]):
            os.kill(pid, signal.SIGKILL)
            done = wait_for(
                lambda: fleet.ctl("status", "-H", "web1", "-o", "json"),
                lambda done: done.code == 4 and done.host("web1")["error"]["code"] == "KEEPER_NOT_ANSWERING",
                20,
                "the keeper's silence",
            )
            assert done.host("web1")["processes"][0]["state"] == "UNKNOWN"
            (row,) = wait_for(lambda: agent.ask("status")["troubles"], what="the keeper's silence")
            assert row["kind"] == "keeper"
            assert "nothing can be started, signalled or restarted" in row["message"]
            wait_for(
                lambda: fleet.ctl("status", "-H", "web1").err,
                lambda err: "web1: trouble: keeper has not answered" in err,
                what="the same by way of the controller",
            )
        row = wait_for(lambda: agent.row("web"), lambda row: row["run"] == 2 and row["state"] == "RUNNING")
        fleet.wait_connected()
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], what="no trouble")
        agent.wait_told("keeper works again")
        agent.wait_told("keeper has not answered")


def test_a_stopped_gateway_is_replaced(tmp_path: Path) -> None:
    text = f"[fleet]\nlisten=127.0.0.1:0\ninsecure_plaintext=true\n{WEB}"
    with RealAgent(tmp_path, text) as agent:
        wait_for(lambda: _serves(agent), what="a gateway that serves")
        old = agent.hello()["gateway_pid"]
        os.kill(old, signal.SIGSTOP)
        wait_for(lambda: agent.hello()["gateway_pid"], lambda pid: pid not in {0, old}, 30, "another gateway")
        wait_for(lambda: not alive(old), what="the end of the old one")
        agent.wait_told("gateway has not answered for")
        wait_for(lambda: agent.ask("status")["troubles"], lambda rows: rows == [], what="no trouble")
        agent.wait_told("gateway works again")


def _serves(agent: RealAgent) -> bool:
    host, _, port = agent.hello()["grpc"].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True
