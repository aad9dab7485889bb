"""The supervisor as a whole, in a real agent: its beginnings, its ends, and what it tells of both."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fleet_api.door import Door
from real.agent import RealAgent, alive, program
from real.waiting import wait_for

PLAIN = "[fleet]\nlisten={}\ninsecure_plaintext=true\n"


def end_in_order(agent: RealAgent) -> int:
    """Stop the agent by SIGTERM and wait until it has left; its exit code."""
    assert agent.keeper is not None
    agent.keeper.terminate()
    return agent.keeper.wait(30)


def lines_with(agent: RealAgent, words: str) -> list[str]:
    """The lines of the activity log that hold these words as such, without their times."""
    # A number in base 16 may hold `bad`.
    held = re.compile(rf"(?<![0-9a-z]){re.escape(words)}(?![0-9a-z])").search
    return [line.partition(" ")[2].partition(" ")[2] for line in agent.activity().splitlines() if held(line)]


def test_the_activity_log_tells_each_thing_once(tmp_path: Path) -> None:
    text = (
        f"[program:good]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
        f"[program:bad]\ncommand={program('exits_after', 0, 3)}\nstartretries=0\n"
        f"[program:once]\ncommand={program('exits_after', 0, 0)}\nstartsecs=0\nautorestart=false\n"
        f"[program:missing]\ncommand=/no/such/thing\nstartretries=0\n"
        f"[program:stubborn]\ncommand={program('ignores_term')}\nstopwaitsecs=1\nstartsecs=0\n"
        f"stdout_logfile={tmp_path}/stubborn.log\n"
    )
    with RealAgent(tmp_path, text) as agent:
        agent.wait_state("bad", "FATAL")
        agent.wait_state("missing", "FATAL")
        agent.wait_state("once", "EXITED")
        wait_for((tmp_path / "stubborn.log").read_text, what="ready")
        pid, good = agent.row("stubborn")["pid"], agent.row("good")["pid"]
        agent.operate("stop", "stubborn")
        assert end_in_order(agent) == 0
        start = "process has stayed up for > than 0 seconds (startsecs)"
        assert lines_with(agent, "good") == [
            f"INFO spawned: 'good' with pid {good}",
            f"INFO success: good entered RUNNING state, {start}",
            "WARN stopped: good (terminated by SIGTERM)",
        ]
        assert lines_with(agent, "bad")[1:] == [
            "WARN exited: bad (exit status 3; not expected)",
            "INFO gave up: bad entered FATAL state, too many start retries too quickly",
        ]
        assert lines_with(agent, "once")[1:] == [
            f"INFO success: once entered RUNNING state, {start}",
            "INFO exited: once (exit status 0; expected)",
        ]
        assert lines_with(agent, "spawnerr") == ["INFO spawnerr: can't find command '/no/such/thing'"]
        assert lines_with(agent, "missing") == [
            "INFO gave up: missing entered FATAL state, too many start retries too quickly"
        ]
        assert lines_with(agent, "stubborn")[2:] == [
            f"WARN killing 'stubborn' ({pid}) with SIGKILL",
            "WARN killing the descendants of 'stubborn' (run 1) with SIGKILL",
            "WARN stopped: stubborn (terminated by SIGKILL)",
        ]
        assert len(lines_with(agent, "fleet-agent started with pid")) == 1
        assert lines_with(agent, "received") == ["WARN received SIGTERM indicating exit request"]


def test_why_a_program_was_not_reached_stands_in_its_own_log(tmp_path: Path) -> None:
    text = (
        f"[program:lost]\ncommand=/bin/true\ndirectory={tmp_path}/gone\nstartretries=0\n"
        f"stderr_logfile={tmp_path}/lost.err\n"
        f"[program:script]\ncommand={tmp_path}/script\nstartretries=0\nredirect_stderr=true\n"
        f"stdout_logfile={tmp_path}/script.out\n"
    )
    (tmp_path / "script").write_bytes(b"\x7fELF is not what it is")
    (tmp_path / "script").chmod(0o755)
    with RealAgent(tmp_path, text) as agent:
        assert (
            agent.wait_state("lost", "FATAL")["spawn_error"] == f"couldn't chdir to {tmp_path}/gone: ENOENT"
        )
        agent.wait_state("script", "FATAL")
        told = "supervisor: child process was not spawned\n"
        for name, why in (
            ("lost.err", f"couldn't chdir to {tmp_path}/gone: ENOENT"),
            ("script.out", f"couldn't exec {tmp_path}/script: ENOEXEC"),
        ):
            path = tmp_path / name
            wait_for(
                lambda path=path: path.exists() and path.read_text(),  # type: ignore[misc]
                lambda text, why=why: text == f"supervisor: {why}\n{told}",  # type: ignore[misc]
                what=why,
            )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become anybody")
def test_who_cannot_become_another_user_says_so_in_the_log_of_the_program(tmp_path: Path) -> None:
    text = (
        f"[program:proud]\ncommand=/bin/true\nuser=root\nstartretries=0\n"
        f"stderr_logfile={tmp_path}/proud.err\n"
    )
    with RealAgent(tmp_path, text) as agent:
        why = "couldn't setuid to 0: Can't drop privilege as nonroot user"
        assert agent.wait_state("proud", "FATAL")["spawn_error"] == why
        told = f"supervisor: {why}\nsupervisor: child process was not spawned\n"
        wait_for((tmp_path / "proud.err").read_text, lambda text: text == told, what=told)


def test_a_port_in_use_ends_the_start_and_an_edit_mends_it(tmp_path: Path) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        agent = RealAgent(
            tmp_path, PLAIN.format(f"127.0.0.1:{port}") + "[program:a]\ncommand=/bin/sleep 100\nstartsecs=0\n"
        )
        agent.launch()
        assert agent.keeper is not None
        assert agent.keeper.wait(30) == 2
        assert f"listen: 127.0.0.1:{port} cannot be bound: Address already in use" in agent.said()
        assert agent.said().count("cannot be bound") == 1
        agent.config.write_text(agent.config.read_text().replace(f":{port}", ":0"))
        with agent:
            agent.wait_state("a", "RUNNING")
            assert agent.endpoint()["grpc"] != f"127.0.0.1:{port}"


def test_the_address_is_told_again_by_every_supervisor(tmp_path: Path) -> None:
    with RealAgent(tmp_path, PLAIN.format("127.0.0.1:0")) as agent:
        address = agent.endpoint()["grpc"]
        assert address
        for number in range(1, 4):
            wait_for(lambda: agent.hello()["gateway_pid"], what="a gateway")
            agent.wait_replaced(agent.kill_supervisor())
            wait_for(lambda: agent.endpoint()["grpc"], lambda told: told == address, what="its address")
            # Before the next kill: a line that is not written yet ends with its supervisor.
            wait_for(lambda: len(lines_with(agent, "supervisor replaced")), lambda told, n=number: told == n)  # type: ignore[misc]
        assert end_in_order(agent) == 0
        assert not (agent.state_dir / "endpoint.json").exists()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Path]:
    """Where a process that holds a dead child's output writes its pid."""
    path = tmp_path / "holder"
    yield path
    with suppress(OSError, ValueError):
        os.kill(int(path.read_text()), signal.SIGKILL)


@pytest.mark.parametrize("is_killed", [False, True])
def test_what_a_dead_child_left_behind_keeps_it_from_nothing(
    tmp_path: Path, holder: Path, is_killed: bool
) -> None:
    text = (
        f"[program:daemon]\ncommand={program('leaves_a_holder', holder)}\nstartsecs=0\n"
        f"stdout_logfile={tmp_path}/daemon.log\n"
    )
    with RealAgent(tmp_path, text) as agent:
        assert agent.wait_state("daemon", "EXITED")["run"] == 1
        pid = int(wait_for(lambda: holder.exists() and holder.read_text(), what="the holder"))
        assert agent.keeper is not None
        if is_killed:
            supervisor = agent.hello()["supervisor_pid"]
            agent.keeper.kill()
            agent.keeper.wait()
            wait_for(lambda: not alive(supervisor), what="the end of the supervisor")
        else:
            assert end_in_order(agent) == 0
        assert alive(pid)
        holder.unlink()
        os.kill(pid, 0)
        agent.start()
        try:
            if is_killed:
                # It goes on where it was: ended as it may, and not wanted again.
                assert agent.wait_state("daemon", "EXITED")["run"] == 1
            else:
                row = wait_for(
                    lambda: agent.row("daemon"), lambda row: row["run"] == 2 and row["state"] == "EXITED"
                )
                assert row["exit"] == {"code": 0, "signal": None, "core": False}
        finally:
            os.kill(pid, signal.SIGKILL)


def test_a_runtime_folder_that_cannot_be_used_is_told_and_ends_the_start(tmp_path: Path) -> None:
    agent = RealAgent(tmp_path, "")
    (agent.state_dir / "run").mkdir(parents=True, mode=0o700)
    agent.state_dir.chmod(0o700)
    (agent.state_dir / "run" / "journal").write_text("")
    agent.launch()
    assert agent.keeper is not None
    assert agent.keeper.wait(30) == 2
    assert f"fleet-agent: [Errno 17] File exists: '{agent.state_dir}/run/journal'" in agent.said()
    assert "Traceback" not in agent.said()


def test_a_stop_that_is_asked_while_the_supervisor_is_away_is_carried_out(tmp_path: Path) -> None:
    text = f"[program:a]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
    with RealAgent(tmp_path, text) as agent:
        pid = agent.wait_state("a", "RUNNING")["pid"]
        supervisor = agent.hello()["supervisor_pid"]
        os.kill(supervisor, signal.SIGSTOP)
        assert agent.keeper is not None
        agent.keeper.terminate()
        os.kill(supervisor, signal.SIGKILL)
        assert agent.keeper.wait(30) == 0
        assert not alive(pid)
        assert len(lines_with(agent, "stopped: a (terminated by SIGTERM)")) == 1


def first_event(door: Door, after: object, name: str) -> dict[str, Any]:
    """The first change of a process after a position; no gap comes before it."""
    for item, _ in door.stream("watch", after=after, timeout_seconds=10):
        event: dict[str, Any] = item["event"]
        if event["process"]["name"] == name:
            return event
    raise AssertionError(name)


def test_numbers_go_on_over_an_ordered_end_and_another_configuration(tmp_path: Path) -> None:
    text = "[program:{}]\ncommand=/bin/sleep 100\nautostart=false\n"
    with RealAgent(tmp_path, text.format("a")) as agent:
        position = agent.hello()["position"]
        assert end_in_order(agent) == 0
        agent.config.write_text(agent.config.read_text().replace("[program:a]", "[program:b]"))
        agent.start()
        with agent.door() as door:
            items = door.stream("watch", after=position, timeout_seconds=10)
            gone, come = next(items)[0]["event"], next(items)[0]["event"]
            assert (gone["process"]["name"], gone["removed"]) == ("a", True)
            assert (come["process"]["name"], come["removed"]) == ("b", False)
            assert come["reason"] == "the agent was started"
            assert come["sequence"] == position["sequence"] + 2


def test_a_configuration_that_changed_while_the_keeper_was_away_is_told_as_changes(tmp_path: Path) -> None:
    text = f"[program:{{}}]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
    with RealAgent(tmp_path, text.format("a")) as agent:
        old = agent.wait_state("a", "RUNNING")["pid"]
        hello = agent.hello()
        assert agent.keeper is not None
        agent.keeper.kill()
        agent.keeper.wait()
        wait_for(lambda: not alive(hello["supervisor_pid"]), what="the end of the supervisor")
        agent.config.write_text(agent.config.read_text().replace("[program:a]", "[program:b]"))
        agent.start()
        agent.wait_state("b", "RUNNING")
        # What nobody wants any more is stopped.
        wait_for(lambda: not alive(old), what="the end of what is wanted no more")
        assert len(lines_with(agent, f"a:a: pid {old} (run 1) is wanted by nobody; stopping it")) == 1
        with agent.door() as door:
            gone = first_event(door, hello["position"], "a")
            assert gone["removed"]
            come = first_event(door, hello["position"], "b")
            assert come["reason"] == "the configuration is another"


def test_the_endpoint_is_whole_json_at_any_time(tmp_path: Path) -> None:
    with RealAgent(tmp_path, "") as agent:
        endpoint = json.loads((agent.state_dir / "endpoint.json").read_text())
        assert endpoint["pid"] == agent.hello()["pid"]
        assert endpoint["grpc"] is None
        assert (tmp_path / "agent.pid").read_text() == f"{endpoint['pid']}\n"
