"""Clients go on where they were, byte for byte, whatever part of an agent is replaced meanwhile."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import grpc
import pytest
from fakes.fleetctl import screen
from fleet_api import channel, identity
from fleet_api.identity import Role
from fleet_api.v1 import agent_pb2, agent_pb2_grpc, controller_pb2, types_pb2
from fleet_cli.answers import Bucket, Change, HostAnswer
from fleet_cli.local import LocalAgent
from real.agent import AGENT, RealAgent, program
from real.fleet import BIN, RealFleet
from real.logs import whole_log
from real.waiting import wait_for

HOST = "web1"
Outcome = controller_pb2.HostOutcome
LINES = 3_000_000
Failure = TypeVar("Failure")
BETWEEN_KILLS = 3_000_000
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


def upgrade(agent: RealAgent) -> None:
    """Supervisor and gateway by the same version again, in good order."""
    done = subprocess.run([*AGENT, "upgrade", "--state-dir", str(agent.state_dir)], timeout=60, check=False)
    assert done.returncode == 0


KILLS: list[Callable[[RealAgent], object]] = [
    RealAgent.kill_supervisor,
    RealAgent.kill_gateway,
    kill_both,
]
REPLACEMENTS = [*KILLS, kill_all, upgrade]


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
            for number in range(1, len(REPLACEMENTS) + 1):
                wait_for_bytes(number * BETWEEN_KILLS, near, far)
                agent.wait_up()
                REPLACEMENTS[number % len(REPLACEMENTS)](agent)
            agent.wait_state("flood", "EXITED", 60)
            expected = b"".join(b"flood %d\n" % line for line in range(LINES))
            wait_for(lambda: size_of(log), lambda size: size == len(expected), 30, "all is in the log")
            assert whole_log(log) == expected
            wait_for_bytes(len(expected), near, far)
        for tail in (near, far):
            assert bytes(tail.printed) == expected


class Asker(Generic[Failure]):
    """Asks without a pause, in a thread of its own; remembers every answer that was none."""

    def __init__(self, ask: Callable[[int], Failure | None]) -> None:
        self.count = 0
        self.longest = 0.0
        self.failures: list[Failure] = []
        self._ask = ask
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def wait_for_more(self) -> None:
        """Wait for a few more answers."""
        due = self.count + 3
        wait_for(lambda: self.count, lambda count: count >= due, what="it is answered")

    def _go_on(self) -> None:
        while not self._is_over.is_set():
            began = time.monotonic()
            failure = self._ask(self.count)
            self.longest = max(self.longest, time.monotonic() - began)
            self.count += 1
            if failure is not None:
                self.failures.append(failure)


@pytest.mark.timeout(120)
def test_no_query_fails_while_parts_are_replaced(tmp_path: Path) -> None:
    config = f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
    with RealFleet(tmp_path, {HOST: config}) as fleet:
        agent = fleet.agents[HOST]
        agent.wait_state("web", "RUNNING")
        here = LocalAgent(f"{agent.state_dir}/run/door.sock", screen().invocation, None)

        def status_here(_: int) -> HostAnswer | None:
            answer = here.status([])
            return None if answer.bucket is Bucket.OK and len(answer.rows) == 1 else answer

        def change_here(number: int) -> HostAnswer | None:
            answer = here.operate(Change("start", ("web",), f"here-{number}", f"here-{number}", ""))
            return None if answer.bucket is Bucket.OK else answer

        def change_from_afar(number: int) -> controller_pb2.HostOutcome | None:
            outcome = change(fleet, f"afar-{number}")
            return None if outcome.bucket == Outcome.OK else outcome

        with Asker(status_here) as reader, Asker(change_here) as near, Asker(change_from_afar) as far:
            for kill in [*KILLS, upgrade]:
                for asker in (reader, near, far):
                    asker.wait_for_more()
                kill(agent)
                agent.wait_up()
                fleet.wait_connected()
        assert (reader.failures, near.failures) == ([], [])
        # A gateway takes its time on a busy machine; who has waited long enough is told, and at once.
        assert {outcome.bucket for outcome in far.failures} <= {Outcome.UNREACHABLE, Outcome.UNKNOWN}
        assert max(reader.longest, near.longest, far.longest) < 20
        assert agent.row("web")["run"] == 1


def change(fleet: RealFleet, key: str) -> controller_pb2.HostOutcome:
    """A start through the controller that changes nothing."""
    request = controller_pb2.OperateFleetRequest(verb=agent_pb2.OperateRequest.START)
    request.hosts.expression = HOST
    request.context.idempotency_key = request.context.operation_id = key
    request.selector.terms.append("web")
    with fleet.stub() as stub:
        (outcome,) = stub.OperateFleet(request, timeout=60)
        return outcome


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


class Watcher:
    """Watches an agent over the network in a thread of its own, and goes on behind its last number."""

    def __init__(self, fleet: RealFleet) -> None:
        self.numbers: list[int] = []
        self.gaps: list[str] = []
        self.breaks = 0
        self._address = fleet.agents[HOST].endpoint()["grpc"]
        self._credentials = fleet.pki.operator.load()
        self._name = identity.make(fleet.pki.fleet, Role.AGENT, HOST).dns_name
        self._position = types_pb2.Position()
        self._call: Any = None
        self._is_over = False
        self._thread = threading.Thread(target=self._go_on)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        if self._call is not None:
            self._call.cancel()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._is_over:
            with closing(
                channel.open_blocking_channel(self._address, self._credentials, self._name)
            ) as opened:
                request = agent_pb2.WatchRequest()
                if self._position.incarnation:
                    request.after.CopyFrom(self._position)
                self._call = agent_pb2_grpc.AgentServiceStub(opened).Watch(request)
                with suppress(grpc.RpcError):
                    for response in self._call:
                        self._take(response)
            self.breaks += 1
            time.sleep(0.02)

    def wait_for_more(self) -> None:
        """Wait until another change is told."""
        before = len(self.numbers)
        wait_for(lambda: len(self.numbers), lambda count: count > before, 30, "it is told")

    def _take(self, response: agent_pb2.WatchResponse) -> None:
        if response.HasField("gap"):
            self.gaps.append(response.gap.reason)
        elif response.HasField("snapshot"):
            self._position.CopyFrom(response.snapshot.position)
        elif response.HasField("event"):
            self._position.sequence = response.event.sequence
            self.numbers.append(response.event.sequence)


@pytest.mark.timeout(120)
def test_a_watch_misses_and_repeats_no_change(tmp_path: Path) -> None:
    config = f"[program:restless]\ncommand={program('exits_after', 0.05, 0)}\nstartsecs=0\nautorestart=true\n"
    with RealFleet(tmp_path, {HOST: config}) as fleet, Watcher(fleet) as watcher:
        agent = fleet.agents[HOST]
        for replace in REPLACEMENTS:
            agent.wait_up()
            fleet.wait_connected()
            watcher.wait_for_more()
            replace(agent)
        fleet.wait_connected()
        last = agent.hello()["position"]["sequence"]
        wait_for(lambda: watcher.numbers[-1], lambda number: number >= last, 30, "it is told to the end")
        assert watcher.gaps == []
        first = watcher.numbers[0]
        assert watcher.numbers == list(range(first, first + len(watcher.numbers)))
        assert watcher.breaks >= len(REPLACEMENTS)
        assert "is read anew" not in fleet.controller.log.read_text()
