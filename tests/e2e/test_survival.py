"""SIGKILL of the supervisor, again and again, under 50 writing children: nothing is harmed or lost."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from fleet_api.rows import ProcessRow
from real.agent import RealAgent, alive, program
from real.logs import whole_lines
from real.waiting import wait_for

WRITERS = 50
ENDING = 10
LINES = 400


def config(folder: Path) -> str:
    sections = []
    for number in range(WRITERS):
        ends = number < ENDING
        name = f"w{number}"
        sections.append(
            f"[program:{name}]\n"
            f"command={program('lines', name, LINES if ends else 0, 0.005)}\n"
            f"autorestart=false\nstartsecs=0\n"
            f"stdout_logfile={folder}/{name}.log\nstdout_logfile_maxbytes=20KB\nstdout_logfile_backups=1000\n"
            f"stderr_logfile=NONE\n"
        )
    return "".join(sections)


def all_begun(rows: dict[str, ProcessRow]) -> bool:
    return all(row["pid"] or row["state"] == "EXITED" for row in rows.values())


@pytest.mark.timeout(180)
def test_fifty_writers_outlive_every_supervisor(tmp_path: Path) -> None:
    with RealAgent(tmp_path, config(tmp_path)) as agent:
        names = [f"w{number}:w{number}" for number in range(WRITERS)]
        before = wait_for(agent.rows, lambda rows: len(rows) == WRITERS and all_begun(rows))
        pids = {name: row["pid"] for name, row in before.items()}
        for _ in range(8):
            agent.wait_replaced(agent.kill_supervisor())
            rows = agent.rows()
            for name in names[ENDING:]:
                assert rows[name]["state"] == "RUNNING"
                assert rows[name]["pid"] == pids[name]
                assert rows[name]["run"] == 1
                assert alive(pids[name])
        for name in names[:ENDING]:
            row = agent.wait_state(name, "EXITED", 60)
            assert row["exit"] == {"code": 0, "signal": None, "core": False}
            assert row["run"] == 1
        for number in range(ENDING):
            name = f"w{number}"
            expected = [f"{name} {line}" for line in range(LINES)]
            last = tmp_path / f"{name}.log"
            wait_for(last.read_text, lambda text, end=expected[-1]: text.endswith(f"{end}\n"))  # type: ignore[misc]
            assert whole_lines(tmp_path / f"{name}.log") == expected
        agent.operate("stop", "all")
        for number in range(ENDING, WRITERS):
            name = f"w{number}"
            # A stop is answered as soon as the child has ended; its last words may still be on their way.
            wait_for(lambda name=name: len(whole_lines(tmp_path / f"{name}.log")), lambda count: count > 10)  # type: ignore[misc]
            lines = whole_lines(tmp_path / f"{name}.log")
            assert lines == [f"{name} {line}" for line in range(len(lines))]
            assert not alive(pids[f"{name}:{name}"])


def test_a_death_while_the_supervisor_is_away_is_booked_with_its_status(tmp_path: Path) -> None:
    text = (
        f"[program:three]\ncommand={program('exits_after', 3600, 3)}\nstartsecs=0\nautorestart=false\n"
        f"[program:back]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\nautorestart=true\n"
    )
    with RealAgent(tmp_path, text) as agent:
        three, back = agent.wait_state("three", "RUNNING"), agent.wait_state("back", "RUNNING")
        supervisor = agent.hello()["supervisor_pid"]
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(three["pid"], signal.SIGUSR1)
        os.kill(back["pid"], signal.SIGKILL)
        os.kill(supervisor, signal.SIGKILL)
        agent.wait_replaced(supervisor)
        row = agent.wait_state("three", "EXITED")
        assert row["exit"] == {"code": None, "signal": signal.SIGUSR1, "core": False}
        row = wait_for(lambda: agent.row("back"), lambda row: row["run"] == 2 and row["state"] == "RUNNING")
        assert row["pid"] != back["pid"]


def test_a_stop_that_was_begun_is_finished_by_the_next_supervisor(tmp_path: Path) -> None:
    text = (
        f"[program:stubborn]\ncommand={program('ignores_term')}\nstopwaitsecs=2\n"
        f"stdout_logfile={tmp_path}/s.log\n"
    )
    with RealAgent(tmp_path, text) as agent:
        pid = agent.wait_state("stubborn", "RUNNING")["pid"]
        wait_for((tmp_path / "s.log").read_text, what="ready")
        agent.operate("stop", "stubborn", wait=False, key="once")
        agent.wait_state("stubborn", "STOPPING")
        agent.wait_replaced(agent.kill_supervisor())
        row = agent.wait_state("stubborn", "STOPPED")
        assert row["exit"] == {"code": None, "signal": signal.SIGKILL, "core": False}
        assert not alive(pid)


def test_the_same_key_is_carried_out_once_even_by_another_supervisor(tmp_path: Path) -> None:
    text = f"[program:web]\ncommand={program('exits_after', 3600, 0)}\nstartsecs=0\n"
    with RealAgent(tmp_path, text) as agent:
        agent.wait_state("web", "RUNNING")
        first = agent.operate("restart", "web", key="k1")
        assert [outcome["result"] for outcome in first["outcomes"]] == ["ok"]
        assert agent.row("web")["run"] == 2
        agent.wait_replaced(agent.kill_supervisor())
        again = agent.operate("restart", "web", key="k1")
        assert again["replayed"]
        assert again["operation_id"] == first["operation_id"]
        assert agent.row("web")["run"] == 2


def test_every_change_is_numbered_once_across_supervisors(tmp_path: Path) -> None:
    text = f"[program:crash]\ncommand={program('exits_after', 0.3, 1)}\nstartsecs=0\nautorestart=true\n"
    with RealAgent(tmp_path, text) as agent:
        start = agent.hello()["position"]
        seen: Counter[int] = Counter()
        position = {**start, "sequence": 0}
        for _ in range(3):
            agent.wait_replaced(agent.kill_supervisor())
            agent.row("crash")
            with agent.door() as door:
                for item, _ in door.stream("watch", after=position, timeout_seconds=10):
                    assert "gap" not in item
                    assert item["event"]["sequence"] == position["sequence"] + 1
                    position = {**position, "sequence": item["event"]["sequence"]}
                    seen[position["sequence"]] += 1
                    if item["event"]["process"]["state"] == "EXITED" and len(seen) > 5:
                        break
        assert set(seen.values()) == {1}
        assert agent.hello()["position"]["incarnation"] == start["incarnation"]


def test_what_a_supervisor_starts_keeps_neither_its_link_nor_the_lock(tmp_path: Path) -> None:
    with RealAgent(tmp_path, "") as agent:
        folder = Path(f"/proc/{agent.hello()['supervisor_pid']}/fdinfo")
        for entry in folder.iterdir():
            flags = next(line for line in entry.read_text().splitlines() if line.startswith("flags:"))
            is_kept = not int(flags.split()[1], 8) & os.O_CLOEXEC
            assert not is_kept or int(entry.name) <= 2, f"descriptor {entry.name} outlives an exec"
