"""An agent that was killed whole finds its state torn: it starts, and keeps its children, each once."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from real.agent import RealAgent, alive, program
from real.waiting import wait_for

MARK = f"3600.{os.getpid()}"
"""Nobody else runs with it."""
CONFIG = (
    f"[program:web]\ncommand={program('exits_after', MARK, 0)}\nstartsecs=0\n"
    f"[program:off]\ncommand={program('exits_after', MARK, 0)}\nstartsecs=0\nautostart=false\n"
)

FILES = (
    "run/runs/*.json",
    "run/journal/journal.*",
    "run/results",
    "run/active.json",
    "run/inflight",
    "run/agent.lock",
    "agent.lock",
    "desires.json",
    "epochs.json",
    "logs/*.json",
)
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda _: b"",
    "cut": lambda whole: whole[: len(whole) // 2],
    "zeroed": lambda whole: b"\0" * len(whole),
    "garbled": lambda whole: os.urandom(max(1, len(whole))),
    "of another version": lambda whole: whole.replace(b'"v":1', b'"v":9').replace(
        b'"version":1', b'"version":9'
    ),
}


def living() -> list[int]:
    """Whatever runs with our mark."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            arguments = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if MARK.encode() in arguments and alive(int(name)):
            found.append(int(name))
    return found


def kill_all(agent: RealAgent) -> None:
    hello = agent.hello()
    pids = [hello[name] for name in ("pid", "supervisor_pid", "gateway_pid") if hello[name]]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert agent.keeper is not None
    agent.keeper.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids), what="the end of the agent")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("how", "patterns"), [(how, (*FILES, "**/*") if how == "cut" else ("**/*",)) for how in DAMAGES]
)
def test_children_are_kept_and_not_doubled(how: str, patterns: tuple[str, ...], tmp_path: Path) -> None:
    with RealAgent(tmp_path, CONFIG) as agent:
        pid = agent.wait_state("web", "RUNNING")["pid"]
        agent.operate("stop", "off")
        for pattern in patterns:
            wait_for(lambda: pid in agent.child_pids(), what="the record of the child")
            kill_all(agent)
            for path in agent.state_dir.glob(pattern):
                if path.is_file() and not path.is_fifo():
                    path.write_bytes(DAMAGES[how](path.read_bytes()))
            agent.start()
            row = agent.wait_state("web", "RUNNING")
            assert (row["pid"], row["run"]) == (pid, 1), pattern
            assert living() == [pid], pattern
            assert agent.row("off")["state"] == "STOPPED"
            agent.wait_replaced(agent.kill_supervisor())
            assert agent.wait_state("web", "RUNNING")["pid"] == pid
        agent.operate("restart", "web")
        row = agent.wait_state("web", "RUNNING")
        assert row["run"] == 2
        assert living() == [row["pid"]]
