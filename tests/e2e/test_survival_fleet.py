"""SIGKILL of supervisor, gateway and both, with the whole stack around them: nothing is harmed or lost."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fleet_api.v1 import agent_pb2, controller_pb2
from real.agent import RealAgent, alive, program
from real.fleet import BIN, IMPATIENT, RealFleet
from real.logs import whole_lines, whole_log
from real.waiting import wait_for

WRITERS = 50
ENDING = 10
LINES = 600
HOST = "web1"


def writers(folder: Path) -> str:
    """The first ones end after a while, each with an exit code of its own."""
    return "".join(
        f"[program:w{number}]\n"
        f"command={program('lines', f'w{number}', LINES if number < ENDING else 0, 0.01, number)}\n"
        f"autorestart=false\nstartsecs=0\n"
        f"stdout_logfile={folder}/w{number}.log\nstdout_logfile_maxbytes=20KB\nstdout_logfile_backups=1000\n"
        f"stderr_logfile=NONE\n"
        for number in range(WRITERS)
    )


def kill_both(agent: RealAgent) -> None:
    supervisor: int = agent.hello()["supervisor_pid"]
    agent.kill_gateway()
    os.kill(supervisor, signal.SIGKILL)


KILLS: list[Callable[[RealAgent], object]] = [RealAgent.kill_supervisor, RealAgent.kill_gateway, kill_both]


def rows_of(answer: Any) -> dict[str, Any]:
    assert answer["bucket"] == "ok", answer["error"]
    return {row["name"]: row for row in answer["processes"]}


@pytest.mark.timeout(180)
def test_fifty_writers_outlive_supervisor_gateway_and_both(tmp_path: Path) -> None:
    with RealFleet(tmp_path, {HOST: writers(tmp_path)}) as fleet:
        agent = fleet.agents[HOST]
        before = wait_for(
            agent.rows,
            lambda rows: len(rows) == WRITERS and all(row["pid"] or row["exit"] for row in rows.values()),
        )
        pids = {row["name"]: row["pid"] for row in before.values()}
        lasting = [f"w{number}" for number in range(ENDING, WRITERS)]
        for kill in [*KILLS, *reversed(KILLS)]:
            kill(agent)
            for place in (("--state-dir", str(agent.state_dir)), ("-H", HOST)):
                done = fleet.ctl("status", "-o", "json", *place)
                rows = rows_of(done.json["hosts"][0])
                assert len(rows) == WRITERS
                for name in lasting:
                    assert (rows[name]["state"], rows[name]["pid"], rows[name]["run"]) == (
                        "RUNNING",
                        pids[name],
                        1,
                    )
                    assert alive(pids[name])
            fleet.wait_connected()
        for number in range(ENDING):
            row = agent.wait_state(f"w{number}", "EXITED", 60)
            assert (row["run"], row["exit"]) == (1, {"code": number, "signal": None, "core": False})
            path, lines = tmp_path / f"w{number}.log", [f"w{number} {line}" for line in range(LINES)]
            wait_for(lambda path=path: len(whole_lines(path)), lambda count: count >= LINES)  # type: ignore[misc]
            assert whole_lines(path) == lines

        def is_told() -> bool:
            rows = rows_of(fleet.ctl("status", "-H", HOST, "-o", "json").json["hosts"][0])
            return all((rows[f"w{n}"]["exit"] or {}).get("code") == n for n in range(ENDING))

        wait_for(is_told, what="the controller tells every exit status")
        done = fleet.ctl("stop", "all", "-H", HOST)
        assert done.code == 0, done
        for name in lasting:
            # A stop is answered as soon as the child has ended; its last words may still be on their way.
            path = tmp_path / f"{name}.log"
            lines = wait_for(lambda path=path: whole_lines(path), lambda lines: len(lines) > LINES / 2)  # type: ignore[misc]
            assert lines == [f"{name} {line}" for line in range(len(lines))]
            assert not alive(pids[name])


@contextmanager
def tail(fleet: RealFleet, *arguments: str) -> Iterator[bytearray]:
    """What `fleetctl tail` has printed so far, as it goes on."""
    process = subprocess.Popen(
        [str(BIN / "fleetctl"), "tail", *arguments],
        env={**os.environ, **fleet.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=(fleet.folder / "tail.err").open("ab"),
    )
    assert process.stdout is not None
    printed = bytearray()
    stream = process.stdout

    def read() -> None:
        while data := os.read(stream.fileno(), 65536):
            printed.extend(data)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        yield printed
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(10) == 130
        finally:
            process.kill()
            reading.join()
            stream.close()


def line_beyond(log: Path, size: int) -> bytes:
    """A line that is written when the whole log has become larger than this."""
    more = wait_for(lambda: whole_log(log)[size:], lambda more: more.count(b"\n") > 2, 30)
    return more.split(b"\n")[1] + b"\n"


def wait_to_print(printed: bytearray, line: bytes) -> None:
    wait_for(lambda: line in printed, seconds=30, what=f"tail goes on to {line!r}")


@pytest.mark.timeout(120)
def test_followed_logs_lose_and_repeat_no_byte(tmp_path: Path) -> None:
    log = tmp_path / "chatty.log"
    config = (
        f"[program:chatty]\ncommand={program('lines', 'chatty', 0, 0.002)}\n"
        f"stdout_logfile={log}\nstdout_logfile_maxbytes=10KB\nstdout_logfile_backups=1000\n"
    )
    with RealFleet(tmp_path, {HOST: config}) as fleet:
        agent = fleet.agents[HOST]
        local = ("-f", "chatty", "--state-dir", str(agent.state_dir))
        remote = ("-f", "chatty", "-H", HOST)
        with tail(fleet, *local) as near, tail(fleet, *remote) as far:
            wait_for(lambda: near and far, seconds=20, what="both follow")
            for kill in KILLS:
                kill(agent)
                # Both get past the kill before the next one.
                line = line_beyond(log, len(whole_log(log)) + 20_000)
                for printed in (near, far):
                    wait_to_print(printed, line)
            agent.operate("stop", "chatty")
            whole = wait_for(
                lambda: whole_log(log),
                lambda whole: whole.endswith(bytes(near)) and whole.endswith(bytes(far)),
                what="both printed the end of the log, byte for byte",
            )
            assert min(len(near), len(far)) > 60_000
        lines = whole.decode().split("\n")[:-1]
        assert lines == [f"chatty {number}" for number in range(len(lines))]


def restart(fleet: RealFleet, key: str, program_name: str) -> controller_pb2.HostOutcome:
    """The outcome of one keyed restart through the controller."""
    request = controller_pb2.OperateFleetRequest(verb=agent_pb2.OperateRequest.RESTART)
    request.hosts.expression = HOST
    request.context.idempotency_key = key
    request.context.operation_id = f"operation-{key}"
    request.selector.terms.append(program_name)
    with fleet.stub() as stub:
        (outcome,) = stub.OperateFleet(request, timeout=60)
        return outcome


def test_a_keyed_change_is_carried_out_once_whoever_is_killed(tmp_path: Path) -> None:
    config = (
        f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
        f"[program:slow]\ncommand={program('ignores_term')}\nstartsecs=0\nstopwaitsecs=2\n"
        f"stdout_logfile={tmp_path}/slow.log\n"
    )
    with RealFleet(tmp_path, {HOST: config}) as fleet:
        agent = fleet.agents[HOST]
        agent.wait_state("web", "RUNNING")
        for number, kill in enumerate(KILLS):
            key, run = f"k{number}", agent.row("web")["run"]
            first = restart(fleet, key, "web")
            assert first.bucket == controller_pb2.HostOutcome.OK, first
            assert agent.row("web")["run"] == run + 1
            kill(agent)
            again = restart(fleet, key, "web")
            assert again.bucket == controller_pb2.HostOutcome.OK, again
            assert again.operation_id == first.operation_id
            assert agent.row("web")["run"] == run + 1
        for number, kill in enumerate(KILLS):
            restart_and_kill(fleet, f"middle{number}", kill)


def restart_and_kill(fleet: RealFleet, key: str, kill: Callable[[RealAgent], object]) -> None:
    """Kill in the middle: SIGTERM is ignored, so that the restart takes two seconds."""
    agent = fleet.agents[HOST]
    run = agent.wait_state("slow", "RUNNING")["run"]
    log = fleet.folder / "slow.log"
    wait_for(lambda: log.read_text().count("ready"), lambda count: count == run)
    answers: list[controller_pb2.HostOutcome] = []
    asking = threading.Thread(target=lambda: answers.append(restart(fleet, key, "slow")))
    asking.start()
    agent.wait_state("slow", "STOPPING")
    kill(agent)
    asking.join(60)
    assert [answer.bucket for answer in answers] == [controller_pb2.HostOutcome.OK], answers
    assert agent.wait_state("slow", "RUNNING")["run"] == run + 1


def test_a_change_on_this_host_is_answered_by_the_next_supervisor(tmp_path: Path) -> None:
    config = (
        f"[program:slow]\ncommand={program('ignores_term')}\nstopwaitsecs=2\n"
        f"stdout_logfile={tmp_path}/s.log\n"
    )
    with RealAgent(tmp_path, config) as agent:
        pid = agent.wait_state("slow", "RUNNING")["pid"]
        wait_for(lambda: "ready" in (tmp_path / "s.log").read_text(), what="ready")
        stopping = subprocess.Popen(
            [str(BIN / "fleetctl"), "stop", "slow", "--state-dir", str(agent.state_dir)],
            stdout=subprocess.PIPE,
            text=True,
        )
        with stopping:
            agent.wait_state("slow", "STOPPING")
            agent.kill_supervisor()
            out, _ = stopping.communicate(timeout=30)
        assert (stopping.returncode, out) == (0, "slow: stopped\n")
        assert not alive(pid)
        assert agent.row("slow")["run"] == 1


def test_all_three_killed_at_once_nothing_is_started_twice(tmp_path: Path) -> None:
    config = (
        f"[program:w]\ncommand={program('lines', 'w', 0, 0.01)}\n"
        "numprocs=5\nprocess_name=%(program_name)s_%(process_num)d\n"
    )
    with RealFleet(tmp_path, {HOST: config}) as fleet:
        agent = fleet.agents[HOST]
        names = [f"w:w_{number}" for number in range(5)]
        pids = {name: agent.wait_state(name, "RUNNING")["pid"] for name in names}
        hello = agent.hello()
        assert agent.keeper is not None
        for pid in (hello["pid"], hello["supervisor_pid"], hello["gateway_pid"]):
            os.kill(pid, signal.SIGKILL)
        agent.keeper.wait()
        os.kill(pids["w:w_0"], signal.SIGKILL)
        agent.start()
        fleet.wait_connected()
        rows = rows_of(fleet.ctl("status", "-H", HOST, "-o", "json").json["hosts"][0])
        for name in names[1:]:
            assert rows[name[2:]]["pid"] == pids[name]
            assert rows[name[2:]]["state"] == "RUNNING"
        row = wait_for(
            lambda: agent.row("w:w_0"), lambda row: row["state"] == "RUNNING", what="started again"
        )
        assert row["pid"] != pids["w:w_0"]


def test_a_call_in_the_middle_of_the_gap_is_told_why(tmp_path: Path) -> None:
    """Without a gateway to come, the controller says what is the matter instead of hanging."""
    config = f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
    with RealFleet(tmp_path, {HOST: config}, settings=IMPATIENT) as fleet:
        agent = fleet.agents[HOST]
        hello = agent.hello()
        try:
            # A supervisor that sleeps starts no gateway.
            os.kill(hello["supervisor_pid"], signal.SIGSTOP)
            os.kill(hello["gateway_pid"], signal.SIGKILL)
            done = wait_for(
                lambda: fleet.ctl("status", "-H", HOST, "-o", "json"), lambda done: done.code == 4, 20, "lost"
            )
            assert done.host(HOST)["bucket"] == "unreachable"
            assert done.host(HOST)["error"]["code"] == "CONNECTION_REFUSED"
        finally:
            os.kill(hello["supervisor_pid"], signal.SIGCONT)
        fleet.wait_connected()
        assert (
            rows_of(fleet.ctl("status", "-H", HOST, "-o", "json").json["hosts"][0])["web"]["state"]
            == "RUNNING"
        )
