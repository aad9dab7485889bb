"""The event journal: every change of every process, numbered, written before it is acted on.

It serves twice. A watcher resumes from it by number, and a new supervisor goes on from it where the
old one ended. A file begins with a header and a snapshot and continues with changes; when a file has
grown, the next one begins with a new snapshot, and one older file is kept for watchers. The files live in the
runtime folder: writing them never waits for a disk, and they are gone after a boot, when nothing that
they tell of is alive.

    {"v":1,"incarnation":"…","boot":"…","sequence":41}          header: number of the last change before
    {"id":"web:web_0","p":{…}}                                   snapshot: one line a process
    [{"n":42,"t":1790000000.1,"id":"web:web_0","old":"RUNNING","why":"…","p":{…}},…]
                                                                 the changes that one event brought
    [{"n":43,"t":…,"id":"web:web_0","gone":true,…}]              it left the configuration
    {"left":true}                                                the agent stopped in order
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fleet_agent.core.model import Process

VERSION = 1
MAX_CHANGES_BYTES = 4 * 1024 * 1024


class Change(NamedTuple):
    """One numbered change of one process."""

    sequence: int
    wall: float
    id: str
    old: str
    reason: str
    process: Process
    removed: bool = False

    def to_entry(self) -> dict[str, Any]:
        """As the journal keeps it."""
        entry: dict[str, Any] = {
            "n": self.sequence,
            "t": self.wall,
            "id": self.id,
            "old": self.old,
            "why": self.reason,
            "p": self.process.to_state(),
        }
        if self.removed:
            entry["gone"] = True
        return entry

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> "Change":
        """The inverse of `to_entry`."""
        return cls(
            entry["n"],
            entry["t"],
            entry["id"],
            entry["old"],
            entry["why"],
            Process.from_state(entry["p"]),
            entry.get("gone", False),
        )


class Restored(NamedTuple):
    """What the journal of an earlier supervisor tells."""

    incarnation: str
    sequence: int
    processes: dict[str, Process]
    has_left: bool


class Journal:
    """Appends changes and hands them out again; owns the files `journal.<number>` of one folder."""

    def __init__(
        self,
        folder: str,
        boot_id: str,
        report: Callable[[str], None],
        max_changes_bytes: int = MAX_CHANGES_BYTES,
    ) -> None:
        self._folder = folder
        self._report = report
        self._is_behind = False
        self._boot_id = boot_id
        self._max = max_changes_bytes
        self._fd = -1
        self._number = 0
        self._written = 0
        self.incarnation = ""
        self.sequence = 0

    def restore(self) -> Restored | None:
        """What the newest readable file tells; None when there is none of this boot."""
        for number in reversed(self._numbers()):
            restored = _replay(self._path(number), self._boot_id)
            if restored is not None:
                return restored
        return None

    def begin(self, incarnation: str, sequence: int, processes: dict[str, Process]) -> None:
        """Start a new file with a snapshot; numbers continue after `sequence`."""
        self.incarnation = incarnation
        self.sequence = sequence
        self._number = max(self._numbers(), default=0)
        try:
            self._open_next(processes)
        except OSError as error:
            self._fall_behind(error)

    def append(self, changes: list[Change], processes: Callable[[], dict[str, Process]]) -> None:
        """Write what one event brought, whole or not at all; it counts as having happened from here on.

        What cannot be written (a full disk) is told once: supervision goes on, a new supervisor would
        know less. The next file begins with all that is known.
        """
        self.sequence = changes[-1].sequence
        try:
            if self._is_behind:
                # What happened meanwhile is in no file: nobody may resume from before.
                self._open_next(processes(), keeps_older=False)
                self._report(f"journal {self._folder} is written again")
                self._is_behind = False
                return
            data = _line([change.to_entry() for change in changes])
            self._written += len(data)
            _write_all(self._fd, data)
            if self._written > self._max:
                self._open_next(processes())
        except OSError as error:
            self._fall_behind(error)

    def _fall_behind(self, error: OSError) -> None:
        if not self._is_behind:
            self._report(f"journal {self._folder} cannot be written: {error.strerror}")
        self._is_behind = True

    def leave(self) -> None:
        """Note that the agent stopped in order: the next one starts afresh."""
        with contextlib.suppress(OSError):
            _write_all(self._fd, _line({"left": True}))

    def since(self, sequence: int) -> Iterator[Change] | None:
        """The changes after `sequence`; None when they are no longer all there."""
        if sequence > self.sequence:
            return None
        for number in reversed(self._numbers()):
            header = next(_entries(self._path(number)), None)
            if (
                header is not None
                and header.get("incarnation") == self.incarnation
                and header.get("sequence", sequence + 1) <= sequence
            ):
                return self._changes(number, sequence)
        return None

    def _changes(self, first: int, after: int) -> Iterator[Change]:
        for number in self._numbers():
            if number < first:
                continue
            for entry in _entries(self._path(number)):
                if entry.get("n", 0) > after:
                    yield Change.from_entry(entry)

    def _open_next(self, processes: dict[str, Process], keeps_older: bool = True) -> None:
        """Go on in a new file that begins with a snapshot; older ones stay within the bound."""
        number = self._number + 1
        path = self._path(number)
        # Not a journal name until it is whole.
        draft = os.path.join(self._folder, "draft.journal")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        header = {
            "v": VERSION,
            "incarnation": self.incarnation,
            "boot": self._boot_id,
            "sequence": self.sequence,
        }
        snapshot = [_line(header)]
        snapshot += [_line({"id": id_, "p": process.to_state()}) for id_, process in processes.items()]
        _write_all(fd, b"".join(snapshot))
        os.rename(draft, path)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._number = number
        self._written = 0
        self._drop_older(number, keeps_older)

    def _drop_older(self, number: int, keeps_older: bool) -> None:
        """Remove files before `number`: what is beyond the bound, though never the last one, or all."""
        room = self._max
        for older in reversed([older for older in self._numbers() if older < number]):
            room -= os.path.getsize(self._path(older))
            if not keeps_older or (room < 0 and older < number - 1):
                os.unlink(self._path(older))

    def _numbers(self) -> list[int]:
        names = (
            name.removeprefix("journal.") for name in os.listdir(self._folder) if name.startswith("journal.")
        )
        return sorted(int(name) for name in names if name.isdecimal())

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, f"journal.{number}")


def _replay(path: str, boot_id: str) -> Restored | None:
    """What a file of this boot tells; None when it is of another boot, or not of this version."""
    entries = _entries(path)
    header = next(entries, None)
    if header is None or header.get("v") != VERSION or header.get("boot") != boot_id:
        return None
    processes: dict[str, Process] = {}
    has_left = False
    try:
        incarnation, sequence = str(header["incarnation"]), int(header["sequence"])
        for entry in entries:
            if "left" in entry:
                has_left = True
            elif entry.get("gone"):
                processes.pop(entry["id"], None)
            else:
                processes[entry["id"]] = Process.from_state(entry["p"])
            sequence = entry.get("n", sequence)
    except (ValueError, KeyError, TypeError, AttributeError):
        # No supervisor of this version wrote it; what lives is still told by the keeper.
        return None
    return Restored(incarnation, sequence, processes, has_left)


def _entries(path: str) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; a torn last line was never acted on and is passed over."""
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for line in file:
            try:
                entry = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n"):
                return
            if isinstance(entry, list):
                yield from entry
            elif isinstance(entry, dict):
                yield entry


def _line(entry: dict[str, Any] | list[dict[str, Any]]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
