"""Upgrades of a real agent: programs that write, another version in a venv, callers that ask on."""

import subprocess
import sys
import threading
from pathlib import Path

import fleet_agent
import fleet_api
from fleet_api.door import Door
from fleet_api.errors import FleetError
from fleet_api.rows import ProcessRow
from real.agent import AGENT, RealAgent, program


def writers(folder: Path, count: int) -> str:
    """Programs that write numbered lines to both streams."""
    return "\n".join(
        f"[program:w{number}]\ncommand={program('lines', 'x', 0, count / 10_000)}\n"
        f"stdout_logfile={folder}/w{number}.out\nredirect_stderr=true\nstartsecs=0\nstdout_logfile_maxbytes=0\n"
        for number in range(count)
    )


def upgrade(agent: RealAgent, *options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*AGENT, "upgrade", "--state-dir", str(agent.state_dir), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def lives(agent: RealAgent) -> dict[str, tuple[int, int, float | None]]:
    """Pid, run and start of every program."""
    return {name: (row["pid"], row["run"], row["start_time"]) for name, row in agent.rows().items()}


def lines_are_whole(path: Path) -> bool:
    numbers = [int(line.split()[1]) for line in path.read_bytes().split(b"\n")[:-1]]
    return bool(numbers) and numbers == list(range(len(numbers)))


def other_version(folder: Path, change: str = "", keeper: str = "") -> Path:
    """A virtual environment with this code under another version; `change` and `keeper` are added to
    supervisor and keeper."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    site = next((venv / "lib").glob("python*/site-packages"))
    for package in (fleet_agent, fleet_api):
        source = Path(package.__file__ or "").parent
        subprocess.run(["cp", "-r", str(source), str(site)], check=True, timeout=60)
    (site / "beside.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    (site / "fleet_api" / "version.py").write_text('"""Another."""\n\nVERSION = "99.0"\n')
    for room, added in (("supervisor/main.py", change), ("keeper/keeper.py", keeper)):
        path = site / "fleet_agent" / room
        text = path.read_text()
        path.write_text(text.replace('"""\n\nimport', f'"""\n\n{added}\nimport', 1))
    return venv


class Asker:
    """Asks for the status again and again, as callers do; `failures` are the answers that were errors."""

    def __init__(self, agent: RealAgent, programs: int) -> None:
        self._path = str(agent.state_dir / "run" / "door.sock")
        self._programs = programs
        self._ended = threading.Event()
        self.asked = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._ask)

    def _ask(self) -> None:
        while not self._ended.wait(0.005):
            self.asked += 1
            try:
                # A connection that is cut is a read to be repeated, once.
                found = self._read() or self._read()
                if found is None or len(found) != self._programs:
                    self.failures.append(f"answered {found}")
            except FleetError as error:
                self.failures.append(str(error))

    def _read(self) -> list[ProcessRow] | None:
        try:
            with Door.connect(self._path) as door:
                rows: list[ProcessRow] = door.request("status", timeout_seconds=10, terms=[])["processes"]
                return rows
        except FleetError as error:
            if error.code != "DOOR_CLOSED":
                raise
            return None

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
