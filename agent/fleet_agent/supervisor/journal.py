"""The event journal: every change of every process, numbered, written before it is acted on.

It serves twice. A watcher resumes from it by number, and a new supervisor goes on from it where the
old one ended. A file begins with a header and a snapshot and continues with changes; when a file has
grown, the next one begins with a new snapshot, and older ones are kept for watchers within a bound. The
files live in the runtime folder: writing them never waits for a disk. `history` keeps them over a boot.

No number is given twice: where it is not sure that all that was told is here, numbering begins anew, as
another incarnation. A file whose name ends in `.behind` lacks changes that were told.

    {"v":1,"incarnation":"…","boot":"…","sequence":41,"began":"…"}
                                                                 header: number of the last change before,
                                                                 and why the incarnation began
    {"id":"web:web_0","p":{…}}                                   snapshot: one line a process
    [{"n":42,"t":1790000000.1,"id":"web:web_0","old":"RUNNING","why":"…","p":{…}},…]
                                                                 the changes that one event brought
    [{"n":43,"t":…,"id":"web:web_0","gone":true,…}]              it left the configuration
    {"left":true}                                                the agent stopped in order
"""

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, cast

from fleet_agent.core.model import Process
from fleet_agent.formats.format import DAMAGE, State, UnknownVersion
from fleet_agent.formats.table import JOURNAL
from fleet_agent.supervisor.journal_file import (
    Line,
    Restored,
    entries,
    lines,
    replay,
    version_of,
)

MAX_CHANGES_BYTES = 4 * 1024 * 1024

BEHIND = ".behind"

_ENCODER = json.JSONEncoder(separators=(",", ":"))


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
        self.began = ""

    def restore(self) -> Restored | None:
        """What the newest readable file tells, of whatever boot; None when there is none."""
        loss = ""
        for _, name in reversed(self._files()):
            try:
                path = os.path.join(self._folder, name)
                self.version = JOURNAL.going_on(version_of(path))
                restored = replay(path, self._boot_id)
            except UnknownVersion as error:
                # What an older file tells is no longer true.
                self.unreadable = str(error)
                return None
            except (OSError, *DAMAGE):
                # No supervisor of this version wrote it; what lives is still told by the keeper.
                restored = None
            if restored is None:
                loss = f"{name} of the journal was damaged"
                continue
            if name.endswith(BEHIND):
                loss = loss or "the journal could not be written"
            if not restored.is_this_boot and not restored.has_left:
                loss = loss or "the host went down while the agent ran"
            return restored._replace(loss=loss or restored.loss)
        self.unreadable = loss
        return None

    def begin(
        self,
        incarnation: str,
        sequence: int,
        processes: Mapping[str, Process],
        began: str = "",
        news: Sequence[Change] = (),
    ) -> None:
        """Start a new file with a snapshot and what has changed since; numbers continue after `sequence`.

        `began` says why this incarnation began. A file without its news would tell the next supervisor that
        nothing has ended.
        """
        self.incarnation = incarnation
        self.sequence = sequence
        self.began = began
        self._number = max((number for number, _ in self._files()), default=0)
        try:
            self._open_next(processes, news=news)
        except OSError as error:
            self._fall_behind(error)
        self.sequence += len(news)

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
        self._failure = (
            f"cannot be written: {error.strerror}; supervision goes on, but a new supervisor would not know"
            " of changes from now on, and watchers could not resume there"
        )
        self._report(self._failure)
        if self._is_behind:
            return
        self._is_behind = True
        # Numbers that are told from now on must not be given again by whoever reads this next.
        with contextlib.suppress(OSError, IndexError):
            path = os.path.join(self._folder, self._files()[-1][1])
            os.rename(path, path.removesuffix(BEHIND) + BEHIND)

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
            found = lines(self._path(number))
            header = next(found, None)
            if header is None:
                continue  # of an earlier supervisor, torn: nothing in it has ever been of use
            fd = self._write_file(number, header, found)
            if number == self._number:
                fd, self._fd = self._fd, fd
            os.close(fd)

    def since(self, sequence: int) -> Iterator[Change] | None:
        """The changes after `sequence`, as far as they can be read; None when they are no longer all kept.

        Whoever reads them counts: where a file is damaged, numbers are missing.
        """
        if sequence > self.sequence:
            return None
        for number in reversed(self._numbers()):
            try:
                header = next(entries(self._path(number)), None)
            except DAMAGE:
                continue
            if (
                header is not None
                and header.get("incarnation") == self.incarnation
                and header.get("sequence", sequence + 1) <= sequence
            ):
                return self._changes(number, sequence)
        return None

    def _changes(self, first: int, after: int) -> Iterator[Change]:
        with contextlib.suppress(*DAMAGE):
            for number in self._numbers():
                if number < first:
                    continue
                for entry in entries(self._path(number), after):
                    if entry.get("n", 0) > after:
                        yield Change.from_entry(entry)

    def _open_next(
        self, processes: Mapping[str, Process], keeps_older: bool = True, news: Sequence[Change] = ()
    ) -> None:
        """Go on in a new file that begins with a snapshot; older ones stay within the bound."""
        number = self._number + 1
        header = {
            "incarnation": self.incarnation,
            "boot": self._boot_id,
            "sequence": self.sequence,
            "began": self.began,
        }
        others: list[Line] = [{"id": id_, "p": process.to_state()} for id_, process in processes.items()]
        if news:
            others.append([change.to_entry() for change in news])
        fd = self._write_file(number, header, others)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd
        self._number = number
        self._written = 0
        self._drop_older(number, keeps_older)

    def _drop_older(self, number: int, keeps_older: bool) -> None:
        """Remove files before `number`: what is beyond the bound, though never the last one, or all."""
        room = self._max
        for older, name in reversed([file for file in self._files() if file[0] < number]):
            path = os.path.join(self._folder, name)
            room -= os.path.getsize(path)
            if not keeps_older or (room < 0 and older < number - 1):
                os.unlink(path)

    def _write_file(self, number: int, header: Line, others: Iterable[Line]) -> int:
        """A file that is whole as soon as it has its name; the descriptor to go on with."""
        draft = os.path.join(self._folder, "draft.journal")
        fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            first = _encode(JOURNAL.dump(cast(State, header), self.version))
            _write_all(fd, b"".join([first, *map(self._line, others)]))
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
        """The numbers of the files that lack nothing, oldest first."""
        return [number for number, name in self._files() if not name.endswith(BEHIND)]

    def _files(self) -> list[tuple[int, str]]:
        """Number and name of every file, oldest first."""
        found = []
        for name in os.listdir(self._folder):
            number = name.removeprefix("journal.").removesuffix(BEHIND)
            if name.startswith("journal.") and number.isdecimal():
                found.append((int(number), name))
        return sorted(found)

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, f"journal.{number}")


def _encode(line: Line) -> bytes:
    return _ENCODER.encode(line).encode("ascii") + b"\n"


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
