"""A real fleet-agent in a folder of its own: three processes, real children, its door."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fleet_api.door import Door
from fleet_api.errors import FleetError
from fleet_api.rows import ProcessRow
from real import cgroups
from real.waiting import wait_for

AGENT = [str(Path(sys.executable).with_name("fleet-agent"))]
PROGRAMS = Path(__file__).parent.parent / "programs"


def program(name: str, *arguments: object) -> str:
    """The command line of one of the tiny programs."""
    return " ".join([sys.executable, "-S", str(PROGRAMS / f"{name}.py"), *map(str, arguments)])


class RealAgent:
    """Starts, watches and ends one agent; a context manager that leaves no process behind."""

    def __init__(
        self,
        folder: Path,
        config: str,
        environ: dict[str, str] | None = None,
        command: Sequence[str] = AGENT,
    ) -> None:
        self._command = command
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "agent.conf"
        self.config.write_text(
            f"[supervisord]\nlogfile={folder}/activity.log\npidfile={folder}/agent.pid\nsilent=true\n"
            f"childlogdir={folder}\n{config}"
        )
        self.state_dir = folder / "state"
        self.environ = {**os.environ, **(environ or {})}
        self.keeper: subprocess.Popen[bytes] | None = None
        self._stderr = folder / "stderr"
        self._children: set[int] = set()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        if error is not None:
            sys.stderr.write(f"--- agent in {self.folder}:\n{self.said()}\n{self.activity()}\n")

    def start(self) -> None:
        """Start the agent and wait until its door answers."""
        self.launch()
        self.wait_up()

    def wait_up(self) -> None:
        """Wait until the door answers."""
        wait_for(self.is_up, what=f"agent up in {self.folder}", seconds=30)

    def launch(self) -> None:
        """Start the agent."""
        with self._stderr.open("ab") as stderr:
            self.keeper = subprocess.Popen(
                [*self._command, "run", "-c", str(self.config), "--state-dir", str(self.state_dir)],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=self.environ,
                cwd=self.folder,
                start_new_session=True,
            )

    def is_up(self) -> bool:
        """Whether the door answers; fails at once when the keeper has ended."""
        assert self.keeper is not None
        if self.keeper.poll() is not None:
            raise AssertionError(f"the agent ended with {self.keeper.returncode}: {self.said()}")
        try:
            self.hello()
        except FleetError:
            return False
        return True

    def said(self) -> str:
        """What the agent wrote to its standard error."""
        return self._stderr.read_text(errors="replace") if self._stderr.exists() else ""

    def activity(self) -> str:
        """The activity log."""
        path = self.folder / "activity.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_told(self, words: str, times: int = 1) -> None:
        """Wait until the activity log, which is written behind what it tells of, has these words so often."""
        counted = wait_for(
            lambda: self.activity().count(words), lambda count: count >= times, what=f"{words!r} in the log"
        )
        assert counted == times, f"{words!r} stands {counted} times in the log"

    def door(self) -> Door:
        """A connection to the local door."""
        return Door.connect(str(self.state_dir / "run" / "door.sock"))

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request to the door."""
        with self.door() as door:
            return door.request(do, timeout_seconds=30, **arguments)

    def hello(self) -> dict[str, Any]:
        """What the agent says of itself."""
        return self.ask("hello")

    def rows(self, *terms: str) -> dict[str, ProcessRow]:
        """The rows by `group:name`; empty while the supervisor is away."""
        try:
            rows: list[ProcessRow] = self.ask("status", terms=list(terms))["processes"]
        except FleetError:
            return {}
        return {f"{row['group']}:{row['name']}": row for row in rows}

    def row(self, name: str) -> ProcessRow:
        """One process that there is."""
        id_ = name if ":" in name else f"{name}:{name}"
        row = wait_for(lambda: self.rows().get(id_), what=f"row of {name}")
        assert row is not None
        return row

    def wait_state(self, name: str, state: str, seconds: float = 15.0) -> ProcessRow:
        """The row of a process once it is in a state."""
        return wait_for(
            lambda: self.row(name), lambda row: row["state"] == state, seconds, f"{name} in {state}"
        )

    def operate(
        self, verb: str, *terms: str, wait: bool = True, key: str = "", sig: str = ""
    ) -> dict[str, Any]:
        """Carry out a verb."""
        context = {"operation_id": key, "key": key, "actor": "", "reason": ""}
        return self.ask("operate", verb=verb, terms=list(terms), signal=sig, wait=wait, context=context)

    def kill_supervisor(self) -> int:
        """SIGKILL the supervisor; its pid."""
        pid: int = self.hello()["supervisor_pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_gateway(self) -> int:
        """SIGKILL the gateway; its pid."""
        pid: int = wait_for(lambda: self.hello()["gateway_pid"], what="a gateway")
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_replaced(self, old_supervisor: int) -> None:
        """Wait until another supervisor answers."""

        def replaced() -> bool:
            try:
                return bool(self.hello()["supervisor_pid"] != old_supervisor)
            except FleetError:
                return False

        wait_for(replaced, what="a new supervisor", seconds=30)

    def endpoint(self) -> dict[str, Any]:
        """The addresses in use."""
        endpoint: dict[str, Any] = json.loads((self.state_dir / "endpoint.json").read_text())
        return endpoint

    def ask_to_end(self) -> None:
        """Ask the agent to stop everything and leave, without waiting for it."""
        if self.keeper is not None:
            self._children.update(self.child_pids())
            self.keeper.terminate()

    def end(self) -> None:
        """Stop the agent; kill what is left of it and of its children."""
        keeper = self.keeper
        if keeper is None:
            return
        self.ask_to_end()
        try:
            keeper.wait(30)
        except subprocess.TimeoutExpired:
            keeper.kill()
            keeper.wait()
        for pid in self._children:
            if pid_is_of(pid, self.state_dir):
                os.kill(pid, signal.SIGKILL)
        if keeper.returncode:
            cgroups.sweep(self.state_dir / "run")
        self.keeper = None
        self._children.clear()

    def child_pids(self) -> Iterator[int]:
        """The pids of the children that the run records name."""
        for record in (self.state_dir / "run" / "runs").glob("*.json"):
            try:
                pid = json.loads(record.read_text()).get("pid")
            except (OSError, ValueError):
                continue
            if pid:
                yield pid


def pid_is_of(pid: int, folder: Path) -> bool:
    """Whether a living process has a FIFO of this folder as its standard input or output."""
    for number in (0, 1, 2):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
        if target.startswith(str(folder)):
            return True
    return False


def alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
