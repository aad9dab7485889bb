"""Versions that differ by one format take over from each other, forwards and back, under running programs."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from real.agent import RealAgent, program
from real.logs import whole_lines
from real.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
WRITERS = 8
OLD = "0.1.0"
NEW = "0.2.0"

CHANGED = """\
JOURNAL = Format("journal", "the event journal", key="v", version=2, older={1: Older(_up, _down)})
"""
RENAMES = """\
from fleet_agent.formats.format import Format, Older


def _renamed(state, before, after):
    return {after if name == before else name: value for name, value in state.items()}


def _up(state):
    return _renamed(state, "why", "reason")


def _down(state):
    return _renamed(state, "reason", "why")
"""
"""In the journal of the new version the reason of a change stands under a name of its own."""

KEEPER_RENAMES = (
    RENAMES.replace('"why"', '"ticks"').replace('"reason"', '"start_ticks"')
    + """

def _all_up(state):
    return {**state, "runs": [{**run, "record": _up(run["record"])} for run in state["runs"]]}


def _all_down(state):
    return {**state, "runs": [{**run, "record": _down(run["record"])} for run in state["runs"]]}

"""
)

ONE_WAY = CHANGED.replace("Older(_up, _down)", "Older(_up)")
DYING = "        self._send(Ready())\n        self._loop.after(1.0, lambda: os._exit(9))"
"""A supervisor that begins, serves, and dies."""


def patch(path: Path, pattern: str, by: str, count: int = 1) -> None:
    """Change a source file; fails when that is not what it was."""
    text, found = re.subn(pattern, lambda _: by, path.read_text(), flags=re.MULTILINE)
    assert found == count, f"{path}: {pattern} is there {found} times"
    path.write_text(text)


class Tree:
    """A copy of the sources, to be changed and built."""

    def __init__(self, folder: Path, version: str) -> None:
        self.root = folder / "source"
        for name in ("agent", "controller", "cli", "proto"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / name, self.root)
        self.agent = self.root / "agent" / "fleet_agent"
        patch(self.root / "proto/fleet_api/version.py", r'VERSION = ".*"', f'VERSION = "{version}"')
        # Nobody waits for twenty seconds to see a version settle.
        patch(self.agent / "supervisor/rewriting.py", r"^SETTLE_SECONDS = .*", "SETTLE_SECONDS = 2.0")

    def change_journal(self, definition: str) -> None:
        """Give the journal another format."""
        table = self.agent / "formats/table.py"
        patch(table, r"^JOURNAL = .*\n", definition)
        patch(table, r"^from fleet_agent.formats.format import Format$", RENAMES)
        journal = self.agent / "supervisor/journal.py"
        patch(journal, r'(?<=[ [])"why"(?=[]:])', '"reason"', count=2)

    def change_journal_and_die(self) -> None:
        """Give the journal another format, and the supervisor a short life."""
        self.change_journal(CHANGED)
        patch(self.agent / "supervisor/agent.py", r"^        self._send\(Ready\(\)\)$", DYING)

    def change_records(self) -> None:
        """Give what the keeper writes another format: run records, and what it leaves to the next keeper."""
        held = self.agent / "formats/held.py"
        patch(held, r"^from fleet_agent.formats.format import Format$", KEEPER_RENAMES)
        for name, steps in (("run_record", "_up, _down"), ("handover", "_all_up, _all_down")):
            words = re.search(rf'^(\w+) = Format\("{name}", (".*")\)$', held.read_text(), re.MULTILINE)
            assert words is not None
            by = f"{words[1]} = Format({name!r}, {words[2]}, version=2, older={{1: Older({steps})}})"
            patch(held, rf"^{words[1]} = .*$", by)
        patch(self.agent / "keeper/run_records.py", r'(?<=[ [])"ticks"(?=[]:] )', '"start_ticks"')
        patch(self.agent / "keeper/run_records.py", r'state\["ticks"\]', 'state["start_ticks"]')

    def build(self, folder: Path) -> Path:
        """The wheel."""
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel")]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        (wheel,) = (folder / "wheel").iterdir()
        return wheel


def installed(folder: Path, version: str, change: Callable[[Tree], object]) -> Path:
    """A virtual environment with a wheel of this version; all that it depends on is lent by our own."""
    folder.mkdir()
    tree = Tree(folder, version)
    change(tree)
    wheel = tree.build(folder)
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin/python"), "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, timeout=60
    )
    (site,) = (venv / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    return venv


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Virtual environments by what is special about their version."""
    folder = tmp_path_factory.mktemp("wheels")
    return {
        "old": installed(folder / "old", OLD, lambda tree: None),
        "new": installed(folder / "new", NEW, lambda tree: tree.change_journal(CHANGED)),
        "one way": installed(folder / "one_way", NEW, lambda tree: tree.change_journal(ONE_WAY)),
        "dying": installed(folder / "dying", NEW, Tree.change_journal_and_die),
        "keeper": installed(folder / "keeper", NEW, Tree.change_records),
    }


def config(folder: Path) -> str:
    return "".join(
        f"[program:w{number}]\ncommand={program('lines', f'w{number}', 0, 0.002)}\nstartsecs=0\n"
        f"stdout_logfile={folder}/w{number}.log\nstdout_logfile_maxbytes=50KB\nstdout_logfile_backups=1000\n"
        for number in range(WRITERS)
    )


def lives(agent: RealAgent) -> dict[str, Any]:
    """What must not change: pid, run, start."""
    rows = wait_for(agent.rows, lambda rows: len(rows) == WRITERS)
    return {name: (row["pid"], row["run"], row["start_time"], row["state"]) for name, row in rows.items()}


def upgrade(agent: RealAgent, by: Path, to: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(by / "bin/fleet-agent"), "upgrade", "--to", str(to), "--state-dir", str(agent.state_dir)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def journal_versions(agent: RealAgent) -> set[int]:
    """The formats of the journal's files."""
    folder = agent.state_dir / "run" / "journal"
    return {json.loads(path.read_text().partition("\n")[0])["v"] for path in folder.glob("journal.*")}


def wait_settled(agent: RealAgent, version: int) -> None:
    wait_for(lambda: journal_versions(agent), lambda found: found == {version}, what="its own formats")


def check_lines(folder: Path, first: int = 0) -> None:
    for number in range(first, WRITERS):
        lines = whole_lines(folder / f"w{number}.log")
        assert lines == [f"w{number} {line}" for line in range(len(lines))]
        assert len(lines) > 100


@pytest.mark.timeout(180)
def test_up_and_down_again(tmp_path: Path, wheels: dict[str, Path]) -> None:
    old, new = wheels["old"], wheels["new"]
    with RealAgent(tmp_path, config(tmp_path), command=[str(old / "bin/fleet-agent")]) as agent:
        wait_for(agent.rows, lambda rows: sum(row["state"] == "RUNNING" for row in rows.values()) == WRITERS)
        before = lives(agent)
        start = agent.hello()["position"]
        first = agent.operate("restart", "w0", key="k1")
        before = {**before, **{name: life for name, life in lives(agent).items() if name == "w0:w0"}}
        for _ in range(2):
            done = upgrade(agent, old, new)
            assert done.returncode == 0, done.stderr
            assert agent.hello()["version"] == NEW
            assert lives(agent) == before
            wait_settled(agent, 2)
            done = upgrade(agent, new, old)
            assert done.returncode == 0, done.stderr
            assert agent.hello()["version"] == OLD
            assert lives(agent) == before
            wait_settled(agent, 1)
        again = agent.operate("restart", "w0", key="k1")
        assert (again["replayed"], again["operation_id"]) == (True, first["operation_id"])
        with agent.door() as door:
            events = door.stream("watch", after={**start, "sequence": 0}, timeout_seconds=10)
            for number, (item, _) in enumerate(events, 1):
                assert item["event"]["sequence"] == number
                if number == start["sequence"]:
                    break
        agent.operate("stop", "all")
        check_lines(tmp_path, first=1)


def record_versions(agent: RealAgent) -> set[int]:
    """The formats of the run records."""
    found = set()
    for path in (agent.state_dir / "run" / "runs").glob("*.json"):
        found.add(json.loads(path.read_text())["version"])
    return found


@pytest.mark.timeout(180)
def test_what_only_the_keeper_writes(tmp_path: Path, wheels: dict[str, Path]) -> None:
    old, new = wheels["old"], wheels["keeper"]
    with RealAgent(tmp_path, config(tmp_path), command=[str(old / "bin/fleet-agent")]) as agent:
        wait_for(agent.rows, lambda rows: sum(row["state"] == "RUNNING" for row in rows.values()) == WRITERS)
        before = lives(agent)
        done = upgrade(agent, old, new)
        assert done.returncode == 0, done.stderr
        assert "and keeper" in done.stdout
        assert lives(agent) == before
        assert record_versions(agent) == {1}
        wait_for(lambda: record_versions(agent), lambda found: found == {2}, what="its own formats")
        done = upgrade(agent, new, old)
        assert done.returncode == 0, done.stderr
        assert (agent.hello()["version"], lives(agent)) == (OLD, before)
        assert record_versions(agent) == {1}
        agent.operate("stop", "all")
        check_lines(tmp_path)


def test_who_cannot_read_the_state_is_refused_and_nothing_happens(
    tmp_path: Path, wheels: dict[str, Path]
) -> None:
    old, new = wheels["old"], wheels["one way"]
    with RealAgent(tmp_path, config(tmp_path), command=[str(new / "bin/fleet-agent")]) as agent:
        wait_for(agent.rows, lambda rows: sum(row["state"] == "RUNNING" for row in rows.values()) == WRITERS)
        before, hello = lives(agent), agent.hello()
        done = upgrade(agent, new, old)
        assert done.returncode == 1
        assert f"the event journal is in format 2; fleet-agent {OLD} reads only 1" in done.stderr
        after = agent.hello()
        for name in ("pid", "supervisor_pid", "version"):
            assert after[name] == hello[name]
        assert lives(agent) == before
        assert journal_versions(agent) == {2}
        agent.operate("stop", "all")
        check_lines(tmp_path)


def test_one_that_dies_young_leaves_what_the_one_before_can_read(
    tmp_path: Path, wheels: dict[str, Path]
) -> None:
    old, new = wheels["old"], wheels["dying"]
    with RealAgent(tmp_path, config(tmp_path), command=[str(old / "bin/fleet-agent")]) as agent:
        wait_for(agent.rows, lambda rows: sum(row["state"] == "RUNNING" for row in rows.values()) == WRITERS)
        before, incarnation = lives(agent), agent.hello()["position"]["incarnation"]
        upgrade(agent, old, new)
        wait_for(lambda: "the version before it comes back" in agent.said(), seconds=30, what="it died")
        wait_for(lambda: agent.rows() and agent.hello()["version"] == OLD, seconds=30, what="the old one")
        assert lives(agent) == before
        assert agent.hello()["position"]["incarnation"] == incarnation
        assert journal_versions(agent) == {1}
        agent.operate("stop", "all")
        check_lines(tmp_path)
