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
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

from fleet_agent.core.model import Process
from fleet_agent.formats.format import State, UnknownVersion
from fleet_agent.formats.table import JOURNAL

MAX_CHANGES_BYTES = 4 * 1024 * 1024

Line = State | list[State]


class Change(NamedTuple):
    """One numbered change of one process."""

    sequence: int
    wall: float
    id: str
    old: str
    reason: str
    process: Process
    removed: bool = False

    def to_entry(self) -> State:
        """As the journal keeps it."""
        entry: State = {
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
    def from_entry(cls, entry: State) -> "Change":
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
        self._failure = ""
        self._boot_id = boot_id
        self._max = max_changes_bytes
        self._fd = -1
        self._number = 0
        self._written = 0
        self.version = JOURNAL.version
        self.unreadable = ""
        """Why what an earlier supervisor wrote is of no use, in words."""
        self.incarnation = ""
        self.sequence = 0

    def restore(self) -> Restored | None:
        """What the newest readable file tells; None when there is none of this boot."""
        for number in reversed(self._numbers()):
            try:
                self.version = JOURNAL.going_on(_version(self._path(number)))
                restored = replay(self._path(number), self._boot_id)
            except UnknownVersion as error:
                # What an older file tells is no longer true.
                self.unreadable = str(error)
                return None
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                # No supervisor of this version wrote it; what lives is still told by the keeper.
                continue
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

        What cannot be written (a full disk) is reported, each time: supervision goes on, a new supervisor
        would know less, until `catch_up` has begun a new file with all that is known.
        """
        self.sequence = changes[-1].sequence
        if self._is_behind:
            self._report(self._failure)
            return
        try:
            data = self._line([change.to_entry() for change in changes])
            self._written += len(data)
            _write_all(self._fd, data)
            if self._written > self._max:
                self._open_next(processes())
        except OSError as error:
            self._fall_behind(error)

    def catch_up(self, processes: dict[str, Process]) -> None:
        """Begin a new file if the last could not be written; reports how that went."""
        if not self._is_behind:
            return
        try:
            # What happened meanwhile is in no file: nobody may resume from before.
            self._open_next(processes, keeps_older=False)
        except OSError as error:
            self._fall_behind(error)
            return
        self._is_behind = False
        self._report("")

    def _fall_behind(self, error: OSError) -> None:
        self._is_behind = True
        self._failure = (
            f"cannot be written: {error.strerror}; supervision goes on, but a new supervisor would not know"
            " of changes from now on, and watchers could not resume there"
        )
        self._report(self._failure)

    def leave(self) -> None:
        """Note that the agent stopped in order: the next one starts afresh."""
        with contextlib.suppress(OSError):
            _write_all(self._fd, self._line({"left": True}))

    def write_as(self, version: int) -> None:
        """Go on in this format, all that is kept included: a supervisor is to come that reads no newer.

        Raises: OSError; what is kept is then in one format or the other, file by file.
        """
        self.version = version
        for number in self._numbers():
            lines = _lines(self._path(number))
            header = next(lines, None)
            if header is None:
                continue  # of an earlier supervisor, torn: nothing in it has ever been of use
            fd = self._write_file(number, header, lines)
            if number == self._number:
                fd, self._fd = self._fd, fd
            os.close(fd)

    def since(self, sequence: int) -> Iterator[Change] | None:
        """The changes after `sequence`; None when they are no longer all there."""
        if sequence > self.sequence:
            return None
        for number in reversed(self._numbers()):
            try:
                header = next(_entries(self._path(number)), None)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
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
        header = {"incarnation": self.incarnation, "boot": self._boot_id, "sequence": self.sequence}
        snapshot = ({"id": id_, "p": process.to_state()} for id_, process in processes.items())
        fd = self._write_file(number, header, snapshot)
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

    def _write_file(self, number: int, header: Line, lines: Iterable[Line]) -> int:
        """A file that is whole as soon as it has its name; the descriptor to go on with."""
        draft = os.path.join(self._folder, "draft.journal")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            first = _encode(JOURNAL.dump(cast(State, header), self.version))
            _write_all(fd, b"".join([first, *map(self._line, lines)]))
            os.rename(draft, self._path(number))
        except OSError:
            os.close(fd)
            raise
        return fd

    def _line(self, line: Line) -> bytes:
        if isinstance(line, dict):
            return _encode(JOURNAL.written(line, self.version))
        return _encode([JOURNAL.written(entry, self.version) for entry in line])

    def _numbers(self) -> list[int]:
        names = (
            name.removeprefix("journal.") for name in os.listdir(self._folder) if name.startswith("journal.")
        )
        return sorted(int(name) for name in names if name.isdecimal())

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, f"journal.{number}")


def replay(path: str, boot_id: str) -> Restored | None:
    """What a file of this boot tells; None when it is of another boot, or tells nothing at all.

    Raises: UnknownVersion for a format that cannot be read; ValueError, KeyError, TypeError or
    AttributeError for what nobody of a known version wrote.
    """
    entries = _entries(path)
    header = next(entries, None)
    if header is None or header["boot"] != boot_id:
        return None
    processes: dict[str, Process] = {}
    has_left = False
    incarnation, sequence = str(header["incarnation"]), int(header["sequence"])
    for entry in entries:
        if "left" in entry:
            has_left = True
        elif entry.get("gone"):
            processes.pop(entry["id"], None)
        else:
            processes[entry["id"]] = Process.from_state(entry["p"])
        sequence = entry.get("n", sequence)
    return Restored(incarnation, sequence, processes, has_left)


def _version(path: str) -> object:
    with open(path, "rb") as file:
        return json.loads(file.readline())[JOURNAL.key]


def _entries(path: str) -> Iterator[State]:
    """The header, and whatever a file tells after it, entry by entry."""
    for line in _lines(path):
        if isinstance(line, dict):
            yield line
        else:
            yield from line


def _lines(path: str) -> Iterator[Line]:
    """The whole lines of a file; a torn last line was never acted on and is passed over."""
    version: int | None = None
    with contextlib.suppress(FileNotFoundError), open(path, "rb") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                return
            if not text.endswith(b"\n"):
                return
            if version is None:
                version = JOURNAL.check(line[JOURNAL.key])
                yield JOURNAL.load(line)
            elif isinstance(line, list):
                yield [JOURNAL.newest(entry, version) for entry in line]
            else:
                yield JOURNAL.newest(line, version)


def _encode(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
