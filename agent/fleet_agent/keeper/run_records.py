"""One run of a process as the keeper holds it, and the file that lets the next keeper find it.

A record is written before the fork (pid 0) and again after it, by rename and without fsync: it must
outlive this process, not this boot.
"""

import json
import os
from binascii import crc32
from collections.abc import Sequence
from typing import Any, TypeVar

from fleet_agent.keeper import fifos
from fleet_agent.link.messages import Child

T = TypeVar("T", str, int)

RECORD_VERSION = 1
_NAME_BYTES = 120
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Run:
    """One life of a process, from before its fork until the supervisor releases it.

    `ticks` is the kernel's start time of the pid, `status` the raw wait status (None while it lives, -1
    when nobody can know), `ends` the keeper's descriptors in the order of `streams`, `signals` the
    highest ordinal that was carried out, `pidfd` the handle of one that is not our child.
    """

    __slots__ = (
        "adopted",
        "boot_id",
        "ended_wall",
        "ends",
        "fifos",
        "is_told",
        "pid",
        "pidfd",
        "process",
        "run",
        "signals",
        "started_monotonic",
        "started_wall",
        "status",
        "stem",
        "streams",
        "ticks",
    )

    def __init__(self, process: str, run: int, stem: str, streams: Sequence[str], folder: str) -> None:
        self.process = process
        self.run = run
        self.stem = stem
        self.streams = tuple(streams)
        self.fifos = fifos.paths(folder, stem, streams)
        self.ends: list[int] = []
        self.pid = 0
        self.ticks = 0
        self.boot_id = ""
        self.started_monotonic = 0.0
        self.started_wall = 0.0
        self.signals = 0
        self.status: int | None = None
        self.ended_wall = 0.0
        self.adopted = False
        self.pidfd = -1
        self.is_told = False

    def to_child(self) -> Child:
        """What a new supervisor is told."""
        return Child(
            process=self.process,
            run=self.run,
            pid=self.pid,
            started_monotonic=self.started_monotonic,
            started_wall=self.started_wall,
            signals=self.signals,
            streams=list(self.streams),
            fifos=self.fifos,
            status=self.status,
            ended_wall=self.ended_wall,
            adopted=self.adopted,
        )

    def to_state(self) -> dict[str, Any]:
        """As written in the record."""
        return {
            "version": RECORD_VERSION,
            "process": self.process,
            "run": self.run,
            "pid": self.pid,
            "ticks": self.ticks,
            "boot_id": self.boot_id,
            "monotonic": self.started_monotonic,
            "wall": self.started_wall,
            "streams": self.streams,
            "signals": self.signals,
            "status": self.status,
            "ended": self.ended_wall,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any], stem: str, folder: str) -> "Run":
        """The inverse of `to_state`.

        Raises: ValueError, TypeError or KeyError when this is no record of a version we know.
        """
        if state["version"] != RECORD_VERSION:
            raise ValueError(f"version {state['version']!r} is not known")
        run = cls(_typed(state["process"], str), _typed(state["run"], int), stem, state["streams"], folder)
        run.pid = _typed(state["pid"], int)
        run.ticks = _typed(state["ticks"], int)
        run.boot_id = _typed(state["boot_id"], str)
        run.started_monotonic = float(state["monotonic"])
        run.started_wall = float(state["wall"])
        run.signals = _typed(state["signals"], int)
        run.status = None if state["status"] is None else _typed(state["status"], int)
        run.ended_wall = float(state["ended"])
        return run


def stem_of(process: str, run: int) -> str:
    """The name that the files of a run share; the same for no other run, unless it holds a `~`."""
    name = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in os.fsencode(process))
    if len(name) > _NAME_BYTES:
        name = f"{name[:_NAME_BYTES]}~{crc32(os.fsencode(process)):08x}"
    return f"{name}.{run}"


def from_stem(stem: str) -> tuple[str, int] | None:
    """The process and the run of a stem, None when it does not tell."""
    name, _, run = stem.rpartition(".")
    if not name or "~" in name or not run.isdecimal():
        return None
    head, *parts = name.split("%")
    try:
        data = head.encode("ascii") + b"".join(
            bytes.fromhex(part[:2]) + part[2:].encode("ascii") for part in parts
        )
    except ValueError:
        return None
    return os.fsdecode(data), int(run)


class RunRecords:
    """The folder of the records; file names are `<stem>.json`."""

    def __init__(self, folder: str, fifo_folder: str) -> None:
        self._folder = folder
        self._fifo_folder = fifo_folder

    def write(self, run: Run) -> None:
        """Write or replace the record.

        Raises: OSError.
        """
        path = f"{self._folder}/{run.stem}.json"
        data = json.dumps(run.to_state(), separators=(",", ":")).encode("ascii")
        fd = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        os.rename(path + ".tmp", path)

    def remove(self, run: Run) -> None:
        """Forget the run."""
        fifos.remove([f"{self._folder}/{run.stem}.json"])

    def load(self) -> tuple[list[Run], list[str]]:
        """Every run on record, and a sentence for each file that is none; such a file is set aside.

        A file that cannot be read still names its run, which then has pid 0: whether it lives is
        asked of its FIFOs.
        """
        runs: list[Run] = []
        problems: list[str] = []
        for name in sorted(os.listdir(self._folder)):
            path = f"{self._folder}/{name}"
            if name.endswith(".tmp"):
                fifos.remove([path])
            if not name.endswith(".json"):
                continue
            stem = name.removesuffix(".json")
            try:
                with open(path, "rb") as file:
                    runs.append(Run.from_state(json.loads(file.read()), stem, self._fifo_folder))
            except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
                os.rename(path, path + ".bad")
                problems.append(f"{path} is no run record ({error!r}); it is now {path}.bad")
                known = from_stem(stem)
                if known is not None:
                    runs.append(self._guess(*known, stem))
        return runs, problems

    def _guess(self, process: str, run: int, stem: str) -> Run:
        there = [s for s in fifos.STREAMS if os.path.exists(fifos.paths(self._fifo_folder, stem, [s])[0])]
        return Run(process, run, stem, there, self._fifo_folder)


def _typed(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
