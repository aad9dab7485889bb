"""A supervisor under measurement: its folder, the programs it is given, its process, its end.

Both daemons get the same programs in the same words; `fleet_daemon` and `supervisord_daemon` add what
differs. Every wait is bounded, and `close` leaves no process of theirs behind.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from acts import Acts, wait_until

BIN = Path(sys.executable).parent
START_SECONDS = 120.0
STOP_SECONDS = 60.0


def measured_environ() -> dict[str, str]:
    """What everything measured gets: ours, but Python as it is installed, with its compiled files."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


class Programs(NamedTuple):
    """`size` programs p0, p1, ..., each with a number of its own and a log for each stream.

    `arguments` follow the FIFO and the number, see `child.c`.
    """

    size: int
    arguments: str = ""
    is_started: bool = True

    def configuration(self, child: str, fifo: str, logs: Path) -> str:
        """Their sections, as both daemons read them."""
        word = "true" if self.is_started else "false"
        # What writes to its end would be taken for a program that cannot start.
        startsecs = 1 if self.is_started else 0
        return "".join(
            f"[program:p{number}]\ncommand={child} {fifo} {number} {self.arguments}\n"
            f"autostart={word}\nautorestart={word}\nstartsecs={startsecs}\n"
            f"stdout_logfile={logs}/p{number}.out\nstderr_logfile={logs}/p{number}.err\n"
            for number in range(self.size)
        )


class Row(NamedTuple):
    """What a daemon says of one program."""

    state: str
    pid: int


class Daemon:
    """One supervisor in a folder of its own; started and ended as often as a benchmark likes."""

    name = ""

    def __init__(self, folder: Path, child: str, programs: Programs) -> None:
        self.folder = folder
        self.programs = programs
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True)
        self.acts = Acts(str(folder / "acts"))
        self.config = folder / "daemon.conf"
        self.config.write_text(
            self.header() + programs.configuration(child, self.acts.path, self.logs), encoding="ascii"
        )
        self.process: subprocess.Popen[bytes] | None = None

    def header(self) -> str:
        """The sections of the daemon itself."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """How it is started, in the foreground."""
        raise NotImplementedError

    def pids(self) -> list[int]:
        """Its own processes: what is measured."""
        raise NotImplementedError

    def rows(self) -> dict[int, Row]:
        """What it says of its programs, by number; empty while it does not answer."""
        raise NotImplementedError

    def start_program(self, number: int) -> None:
        """Have it start one program, and do not wait."""
        raise NotImplementedError

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Out of the way of another one that is measured: it takes no time and no cache meanwhile."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    def disconnect(self) -> None:
        """Let go of connections to it."""

    @property
    def pid(self) -> int:
        """The process that we started."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> float:
        """Start it; the moment before (seconds, monotonic)."""
        with (self.folder / "said").open("ab") as said:
            before = time.monotonic()
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.folder,
                env=measured_environ(),
                start_new_session=True,
            )
        return before

    def start_all(self) -> float:
        """Start it with all its programs; seconds until the last one's first act.

        Raises: TimeoutError.
        """
        before = self.start()
        began = self.acts.collect("began", self.programs.size, START_SECONDS)
        if len(began) < self.programs.size:
            raise TimeoutError(
                f"{self.name} started {len(began)} of {self.programs.size}; it said: {self.said()}"
            )
        return max(act.at for act in began) - before

    def settle(self) -> None:
        """Wait until it says of all programs that they run.

        Raises: TimeoutError.
        """
        wait_until(self.is_settled, START_SECONDS, f"all running under {self.name}", pause=0.5)

    def is_settled(self) -> bool:
        """Whether it says of all programs that they run."""
        rows = self.rows()
        return len(rows) == self.programs.size and all(row.state == "RUNNING" for row in rows.values())

    def said(self) -> str:
        """The end of what it wrote to its standard streams."""
        return (self.folder / "said").read_text(errors="replace")[-2000:]

    def logged_bytes(self, number: int) -> int:
        """The size of a program's output log with all its rotated files."""
        return sum(path.stat().st_size for path in self.logs.glob(f"p{number}.out*"))

    def close(self) -> None:
        """End it and what it started; harmless when it has ended."""
        self.disconnect()
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None
        self.end_children()

    def end_children(self) -> None:
        """Kill the children that are left."""
        self.acts.drain()
        for pid in self.acts.pids:
            if self._is_child(pid):
                os.kill(pid, signal.SIGKILL)
        self.acts.pids.clear()

    def _is_child(self, pid: int) -> bool:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(self.acts.path) in command.split(b"\0")
