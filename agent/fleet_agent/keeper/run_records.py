"""One run of a process as the keeper holds it, and the file that lets the next keeper find it.

A record is written as soon as the keeper has a moment after the fork, without fsync: it must outlive
this process, not this boot. Until it is there, and when it is torn, the names of the FIFOs tell of the
run, which then has pid 0. A name too long to be told by a file has its record before the fork.
"""

import errno
import json
import os
from binascii import crc32
from collections.abc import Sequence
from typing import Any, TypeVar

from fleet_agent.formats.format import DAMAGE
from fleet_agent.formats.held import RUN_RECORD
from fleet_agent.keeper import fifos
from fleet_agent.link.messages import Child

T = TypeVar("T", str, int)

_NAME_BYTES = 120
_MAX_BYTES = 1024 * 1024
_encode = json.JSONEncoder(separators=(",", ":")).encode
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Run:
    """One life of a process, from before its fork until the supervisor releases it.

    `ticks` is the kernel's start time of the pid, `status` the raw wait status (None while it lives, -1
    when nobody can know), `ends` the keeper's descriptors in the order of `streams` (none while they lie on
    the shelf), `signals` the highest ordinal that was carried out, `pidfd` the handle of one that is not
    our child.
    """

    __slots__ = (
        "adopted",
        "boot_id",
        "ended_wall",
        "ends",
        "folder",
        "is_told",
        "key",
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
        fifos.check(streams)
        self.process = process
        self.run = run
        self.key = process, run
        self.stem = stem
        # One tuple for all: a thousand runs have the same three.
        self.streams = fifos.STREAMS if tuple(streams) == fifos.STREAMS else tuple(streams)
        self.folder = folder
        self.ends: Sequence[int] = ()
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

    @property
    def fifos(self) -> list[str]:
        """The paths, in the order of `streams`."""
        return fifos.paths(self.folder, self.stem, self.streams)

    @property
    def is_named_by_files(self) -> bool:
        """Whether the names of its FIFOs tell process and run."""
        return "~" not in self.stem

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
        """As written in the record, in the newest format."""
        return {
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

        Raises: ValueError, TypeError or KeyError when this is no record.
        """
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
    head, *parts = name.split("%")
    try:
        data = head.encode("ascii") + b"".join(
            bytes.fromhex(part[:2]) + part[2:].encode("ascii") for part in parts
        )
        known = os.fsdecode(data), int(run)
    except ValueError:
        return None
    return known if known[0] and stem_of(*known) == stem else None


class RunRecords:
    """The folder of the records; file names are `<stem>.json`."""

    def __init__(self, folder: str, fifo_folder: str) -> None:
        self._folder = folder
        self._fifo_folder = fifo_folder
        self.version = RUN_RECORD.version
        """Of what is written; an older one while an older keeper is to come."""

    def write(self, run: Run, is_new: bool = False) -> None:
        """Write the record; one that may be there already is replaced as a whole.

        Raises: OSError.
        """
        path = f"{self._folder}/{run.stem}.json"
        data = _encode(RUN_RECORD.dump(run.to_state(), self.version)).encode("ascii")
        at = path if is_new else path + ".tmp"
        fd = os.open(at, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.write(fd, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), at)
        finally:
            os.close(fd)
        if not is_new:
            os.rename(at, path)

    def remove(self, run: Run) -> None:
        """Forget the run."""
        fifos.remove([f"{self._folder}/{run.stem}.json"])

    def load(self) -> tuple[list[Run], list[str]]:
        """Every run on record or with FIFOs, and a sentence for each file that is no record.

        Such a file is set aside. A run without a record has pid 0: whether it lives is to be asked of
        its FIFOs.
        """
        runs: dict[str, Run] = {}
        problems: list[str] = []
        for name in sorted(os.listdir(self._folder)):
            path = f"{self._folder}/{name}"
            if name.endswith(".tmp"):
                fifos.remove([path])
            if not name.endswith(".json"):
                continue
            stem = name.removesuffix(".json")
            try:
                # A FIFO that nobody writes, or gigabytes, must not hold us.
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
                with open(fd, "rb") as file:
                    state = RUN_RECORD.load(json.loads(file.read(_MAX_BYTES)))
                runs[stem] = Run.from_state(state, stem, self._fifo_folder)
            except (OSError, *DAMAGE) as error:
                os.rename(path, path + ".bad")
                problems.append(f"{path} is no run record ({repr(error)[:120]}); it is now {path}.bad")
        for stem, streams in fifos.found(self._fifo_folder).items():
            known = from_stem(stem)
            if stem not in runs and known is not None:
                runs[stem] = Run(*known, stem, streams, self._fifo_folder)
        return list(runs.values()), problems


def _typed(value: Any, kind: type[T]) -> T:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value
