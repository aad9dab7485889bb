"""Upgrade of an agent with 1000 children: the longest time that somebody who asks for the status waits.

Callers ask all the time, each over a connection of its own, and repeat what was cut off, as fleetctl does.
In one round supervisor and gateway are replaced, in the next the keeper too, by a copy of this very code
in another virtual environment whose keeper has a line more.
"""

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import figures
import fleet_agent
import fleet_api
from command import Benchmark, main
from daemon import BIN, Programs, measured_environ
from figures import Verdict, at_least, at_most, number
from fleet_api.door import AWAY
from fleet_api.errors import FleetError
from fleet_daemon import FleetAgent
from stage import Stage

SIZE = 1000
UPGRADE_SECONDS = 120.0
PATIENCE_SECONDS = 30.0
ASK_EVERY_SECONDS = 0.02
LIMIT_SECONDS = 0.5


class Upgrade(NamedTuple):
    """What one upgrade was like for a caller, in seconds, and how many children kept their pid."""

    whole: float
    longest: float
    usual: float
    failed: int
    kept: int


class Caller:
    """Asks for the status of all again and again, in a thread; `waits` are the seconds each answer took."""

    def __init__(self, fleet: FleetAgent) -> None:
        self._fleet = fleet
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.waits: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(ASK_EVERY_SECONDS):
            began = time.monotonic()
            failure = self._ask_once()
            if failure is not None and failure.code in AWAY:
                failure = self._ask_once()
            self.waits.append(time.monotonic() - began)
            if failure is not None:
                self.failures.append(str(failure))

    def _ask_once(self) -> FleetError | None:
        try:
            with self._fleet.door() as door:
                rows = door.request("status", timeout_seconds=PATIENCE_SECONDS, terms=[])["processes"]
        except FleetError as error:
            return error
        assert len(rows) == SIZE
        return None


def upgrade(fleet: FleetAgent, venv: Path | None) -> Upgrade:
    """Have the version of a virtual environment, or ours, take over.

    Raises: subprocess.CalledProcessError when it does not.
    """
    before = fleet.rows()
    argv = [str(BIN / "fleet-agent"), "upgrade", "--state-dir", fleet.state_dir]
    with Caller(fleet) as caller:
        began = time.monotonic()
        subprocess.run(
            argv if venv is None else [*argv, "--to", str(venv)],
            env=measured_environ(),
            timeout=UPGRADE_SECONDS,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        whole = time.monotonic() - began
    for failure in caller.failures:
        print(f"  a caller was told: {failure}")
    after = fleet.rows()
    kept = sum(after[program].pid == row.pid for program, row in before.items())
    return Upgrade(whole, max(caller.waits), figures.median(caller.waits), len(caller.failures), kept)


def other_keeper(folder: Path) -> Path:
    """A virtual environment with this code, and a keeper that is taken for another."""
    venv = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next((venv / "lib").glob("python*/site-packages"))
    for package in (fleet_agent, fleet_api):
        source = Path(str(package.__file__)).parent
        shutil.copytree(source, site / source.name)
    (site / "beside.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")))
    with (site / "fleet_agent" / "keeper" / "keeper.py").open("a") as file:
        file.write("\nIS_ANOTHER = True\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(site)], env=measured_environ(), check=True)
    return venv


def measure(rounds: int) -> list[Verdict]:
    """There with the keeper, back with the keeper, and once to the same version, in each round."""
    rows, light, heavy = [], [], []
    with Stage() as stage:
        fleet = stage.fleet_agent(Programs(SIZE), listens=True)
        fleet.start_all()
        fleet.settle()
        venv = other_keeper(fleet.folder)
        for turn in range(rounds):
            light.append(upgrade(fleet, None))
            heavy.append(upgrade(fleet, venv))
            heavy.append(upgrade(fleet, None))
            for name, found in zip(("", "keeper too", "and back"), (light[-1], *heavy[-2:]), strict=True):
                rows.append([f"{turn + 1} {name}".strip(), *(number(value) for value in found)])
    headers = ["round", "whole s", "longest wait s", "usual wait s", "failed", "pids kept"]
    print(figures.table(headers, rows), flush=True)
    every = light + heavy
    return [
        at_most("longest wait", figures.median([one.longest for one in light]), LIMIT_SECONDS, "s"),
        at_most(
            "longest wait, keeper too", figures.median([one.longest for one in heavy]), LIMIT_SECONDS, "s"
        ),
        at_most("status queries that failed", sum(one.failed for one in every), 0, "queries"),
        at_least("children with their old pid", min(one.kept for one in every), SIZE, "children"),
    ]


BENCHMARK = Benchmark("upgrade_gap", f"upgrade of an agent of {SIZE} children, as callers see it", 3, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
