"""Clients go on where they were, byte for byte, whatever part of an agent is replaced meanwhile."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from real.agent import RealAgent, program
from real.fleet import BIN, RealFleet
from real.logs import whole_log
from real.waiting import wait_for

HOST = "web1"
LINES = 3_000_000
BETWEEN_KILLS = 1_500_000
"""Bytes that both clients have printed since the last one."""


class Tail:
    """A running `fleetctl tail -f`, with what it has printed so far."""

    def __init__(self, fleet: RealFleet, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [str(BIN / "fleetctl"), "tail", "-f", *arguments],
            env={**os.environ, **fleet.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.printed = bytearray()
        self.said = bytearray()
        self._readers = [
            threading.Thread(target=self._read, args=pair)
            for pair in ((self._process.stdout, self.printed), (self._process.stderr, self.said))
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: "subprocess._FILE", into: bytearray) -> None:
        while data := os.read(stream.fileno(), 1 << 16):  # type: ignore[union-attr]
            into.extend(data)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(10) == 130, self.said.decode()

    def end(self) -> None:
        """Leave nothing of it."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


@contextmanager
def tails(fleet: RealFleet, agent: RealAgent, process: str) -> Iterator[tuple[Tail, Tail]]:
    """One through the agent's door, one through controller and gateway, both from the first byte on."""
    near = Tail(fleet, process, "-c", "1000000000", "--state-dir", str(agent.state_dir))
    far = Tail(fleet, process, "-c", "1000000000", "-H", HOST)
    try:
        yield near, far
        near.interrupt()
        far.interrupt()
    finally:
        near.end()
        far.end()


def wait_for_bytes(size: int, *following: Tail) -> None:
    """Wait until all have printed so much."""
    wait_for(lambda: min(len(tail.printed) for tail in following), lambda least: least >= size, 40, "printed")


def size_of(log: Path) -> int:
    """Bytes written to a log so far, rotated files included."""
    size = 0
    for path in log.parent.glob(f"{log.name}*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            return 0
    return size


def kill_both(agent: RealAgent) -> None:
    supervisor: int = agent.hello()["supervisor_pid"]
    agent.kill_gateway()
    os.kill(supervisor, signal.SIGKILL)


def end_agent(agent: RealAgent) -> None:
    """Kill the whole agent at once; its children live on."""
    hello = agent.hello()
    assert agent.keeper is not None
    agent.kill_gateway()
    for pid in (hello["pid"], hello["supervisor_pid"]):
        os.kill(pid, signal.SIGKILL)
    agent.keeper.wait()


def kill_all(agent: RealAgent) -> None:
    """The whole agent at once, and a new one in its place."""
    end_agent(agent)
    agent.start()


KILLS: list[Callable[[RealAgent], object]] = [
    RealAgent.kill_supervisor,
    RealAgent.kill_gateway,
    kill_both,
    kill_all,
]


@pytest.mark.timeout(180)
def test_a_flood_is_followed_without_a_lost_or_repeated_byte(tmp_path: Path) -> None:
    log = tmp_path / "flood.log"
    config = (
        f"[program:flood]\ncommand={program('lines', 'flood', LINES)}\nautostart=false\nautorestart=false\n"
        f"startsecs=0\nstdout_logfile={log}\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=1000\n"
    )
    with RealFleet(tmp_path, {HOST: config}) as fleet:
        agent = fleet.agents[HOST]
        agent.operate("start", "flood")
        with tails(fleet, agent, "flood") as (near, far):
            for number in range(1, 2 * len(KILLS) + 1):
                wait_for_bytes(number * BETWEEN_KILLS, near, far)
                agent.wait_up()
                KILLS[number % len(KILLS)](agent)
            agent.wait_state("flood", "EXITED", 60)
            expected = b"".join(b"flood %d\n" % line for line in range(LINES))
            wait_for(lambda: size_of(log), lambda size: size == len(expected), 30, "all is in the log")
            assert whole_log(log) == expected
            wait_for_bytes(len(expected), near, far)
        for tail in (near, far):
            assert bytes(tail.printed) == expected


def said_of_absence(tail: Tail) -> list[str]:
    """What it said on stderr, but for the greeting."""
    return tail.said.decode().splitlines()[1:]


@pytest.mark.timeout(120)
def test_an_agent_that_is_away_for_longer_is_waited_for(tmp_path: Path) -> None:
    log = tmp_path / "slow.log"
    config = (
        f"[program:slow]\ncommand={program('lines', 'slow', 0, 0.005)}\nautorestart=false\n"
        f"stdout_logfile={log}\nstdout_logfile_maxbytes=2KB\nstdout_logfile_backups=1000\n"
    )
    with RealFleet(tmp_path, {HOST: config}) as fleet:
        agent = fleet.agents[HOST]
        agent.wait_state("slow", "RUNNING")
        with tails(fleet, agent, "slow") as (near, far):
            wait_for(lambda: near.printed and far.printed, what="both follow")
            end_agent(agent)
            wait_for(lambda: near.said.count(b"waiting for the agent") and far.said.count(b"asking again"))
            agent.start()
            due = size_of(log)
            wait_for_bytes(due, near, far)
            agent.operate("stop", "slow")
            wait_for(lambda: near.printed == far.printed == whole_log(log), seconds=40, what="all is printed")
        lines = near.printed.decode().splitlines()
        assert lines == [f"slow {number}" for number in range(len(lines))]
        away, back = said_of_absence(near)
        assert away.endswith("; waiting for the agent <==")
        assert back == "==> the agent is back <=="
        away, back = said_of_absence(far)
        assert away.endswith("; asking again <==")
        assert back == "==> back <=="
