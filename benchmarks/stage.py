"""The stage of a benchmark: a folder, the child program, both daemons; all gone afterwards."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from daemon import Daemon, Programs
from fleet_daemon import FleetAgent
from supervisord_daemon import Supervisord

HERE = Path(__file__).parent
COMPILE_SECONDS = 60.0
END_SECONDS = 10.0
PREFIX = "fleet-bench-"
MEMORY = "/dev/shm"
_PR_SET_CHILD_SUBREAPER = 36

D = TypeVar("D", bound=Daemon)


class Stage:
    """A context manager; daemons that it made are closed with it."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._count = 0

    def __enter__(self) -> Self:
        # What a killed daemon leaves behind comes back to us, not to process 1, and is ended by us.
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._memory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=runtime_root()))
        self._child = build_child(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stack.close()
        finally:
            end_orphans()
            for folder in (self._folder, self._memory):
                shutil.rmtree(folder, ignore_errors=True)

    def fleet_agent(self, programs: Programs, listens: bool = False) -> FleetAgent:
        """A fleet-agent with these programs, not started yet; with a gateway where it `listens`."""
        return self._daemon(FleetAgent(*self._place(), programs, self._memory / str(self._count), listens))

    def supervisord(self, programs: Programs) -> Supervisord:
        """A supervisord with these programs, not started yet."""
        return self._daemon(Supervisord(*self._place(), programs))

    def _place(self) -> tuple[Path, str]:
        self._count += 1
        return self._folder / str(self._count), self._child

    def _daemon(self, daemon: D) -> D:
        self._stack.enter_context(daemon.acts)
        self._stack.callback(daemon.close)
        return daemon


def runtime_root() -> str | None:
    """Where runtime folders belong: in memory, as /run is where an agent is installed; None for anywhere."""
    chosen = os.environ.get("FLEET_BENCH_RUNTIME", MEMORY)
    return chosen if os.access(chosen, os.W_OK | os.X_OK) else None


def build_child(folder: Path) -> str:
    """The command of the child: compiled where there is a C compiler, else the slower one in Python."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    target = str(folder / "child")
    # A static one starts in a fifth of the time, which leaves the more of what is measured.
    for options in (["-O2", "-static"], ["-O2"]):
        if compiler is not None:
            argv = [compiler, *options, "-o", target, str(HERE / "child.c")]
            if (
                subprocess.run(argv, timeout=COMPILE_SECONDS, capture_output=True, check=False).returncode
                == 0
            ):
                return target
    print("no C compiler: the children are Python programs, and their own start is part of every figure")
    return f"{sys.executable} -I -S {HERE / 'child.py'}"


def end_orphans() -> None:
    """Kill and reap what has come back to us."""
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        for pid in _children():
            os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def _children() -> list[int]:
    mine = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                text = Path(f"/proc/{name}/stat").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            if int(text.rpartition(")")[2].split()[1]) == os.getpid():
                mine.append(int(name))
    return mine
