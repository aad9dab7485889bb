"""What keeps positions in a log stable: its id, and the absolute offset at which each of its files begins.

A record stands in `<state>/logs/`, one JSON file per log, replaced by rename. It is made when it first
matters, which is when somebody asks for the log or it rotates; until then the log has no id, one file, and
begins at 0. Used by `logfile`.

A rotation writes the record twice: before it, with the `length` at which the file in use is closed, and
after it. So a kill at any point between leaves one of these, told apart by `reconcile`:

    the file at the path is the recorded one, and not shorter than `length`    the rotation had not begun
    it is another, is missing, or is shorter (the inode number was used again)  it had: the new file
                                                                               begins at start + length

The renames themselves are repeatable: they fill the first gap in .1, .2, ...
"""

import binascii
import contextlib
import errno
import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from fleet_agent.formats.format import DAMAGE, UnknownVersion
from fleet_agent.formats.table import SIDECAR
from fleet_agent.supervisor.whole_file import read_ours

MAX_BYTES = 16 * 1024 * 1024


class Segment(NamedTuple):
    """A file that was rotated away: absolute offset of its first byte, its length, its inode number."""

    start: int
    length: int
    inode: int


class Record(NamedTuple):
    """A log's id and files. `start` and `inode` are of the file in use.

    `length` is set while that file is being closed by a rotation, else None. `end` is the absolute end
    when the record was written. `backups` are oldest first and contiguous.
    """

    path: str
    log_id: str
    start: int
    inode: int
    length: int | None
    end: int
    backups: tuple[Segment, ...]

    def to_state(self) -> dict[str, Any]:
        """As stored, in the newest format."""
        return {**self._asdict(), "backups": [list(segment) for segment in self.backups]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Record":
        """The inverse of `to_state`.

        Raises: ValueError, TypeError or KeyError when the state is damaged.
        """
        length = state["length"]
        return cls(
            path=str(state["path"]),
            log_id=str(state["log_id"]),
            start=int(state["start"]),
            inode=int(state["inode"]),
            length=None if length is None else int(length),
            end=int(state["end"]),
            backups=tuple(
                Segment(int(start), int(size), int(inode)) for start, size, inode in state["backups"]
            ),
        )

    def closed(self, length: int, keep: int) -> "Record":
        """The record once the file in use, `length` bytes long, is a backup, of which `keep` are kept."""
        backups = (*self.backups, Segment(self.start, length, self.inode))[-keep:] if keep else ()
        start = self.start + length
        return self._replace(start=start, inode=0, length=None, end=start, backups=backups)


def reconcile(
    record: Record, found: tuple[int, int] | None, moved_size: int | None, keep: int
) -> tuple[Record | None, str]:
    """The record that fits the files as they are, and what happened to them in words ("" for nothing).

    `found` is (inode, size) of the file at the path; `moved_size` the size of the recorded file where it
    is a backup now. None instead of a record: the file was replaced while nobody watched, so that its
    positions cannot be told, and the log needs a new id. The inode of a new file is filled in.
    """
    inode, size = found or (0, 0)
    is_same = found is not None and inode == record.inode and (record.length is None or size >= record.length)
    if is_same:
        if record.start + size < record.end:
            return record._replace(
                start=record.end, length=None, end=record.end + size, backups=()
            ), "truncated"
        return record._replace(length=None, end=record.start + size), ""
    if record.length is not None:
        return record.closed(record.length, keep)._replace(inode=inode), ""
    if moved_size is not None:
        return record.closed(moved_size, max(keep, 1))._replace(inode=inode), "rotated by somebody else"
    return None, "replaced"


class Sidecars:
    """The folder of the records."""

    def __init__(self, folder: str, tell: Callable[[str], None]) -> None:
        self.folder = folder
        self._tell = tell
        self.version = self._going_on()

    def _going_on(self) -> int:
        """The format of the records that are there, to be told by any of them."""
        with contextlib.suppress(OSError, StopIteration, *DAMAGE):
            name = next(name for name in os.listdir(self.folder) if name.endswith(".json"))
            data = read_ours(os.path.join(self.folder, name), MAX_BYTES)
            return SIDECAR.going_on(json.loads(data)[SIDECAR.key])
        return SIDECAR.version

    def path_of(self, log_path: str) -> str:
        """Where the record of a log stands."""
        raw = os.fsencode(log_path)
        return os.path.join(self.folder, f"{binascii.crc32(raw):08x}{binascii.crc32(raw[::-1]):08x}.json")

    def load(self, log_path: str) -> Record | None:
        """The record of a log; None when there is none, or none that can be read.

        Raises: OSError when there is no descriptor left to read it with: it may well be there.
        """
        try:
            data = read_ours(self.path_of(log_path), MAX_BYTES)
            record = Record.from_state(SIDECAR.load(json.loads(data)))
        except UnknownVersion as error:
            self._tell(f"{self.path_of(log_path)}: {error}; positions in {log_path} begin anew")
            return None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise
            return None
        except DAMAGE:
            self._tell(f"{self.path_of(log_path)} is damaged; positions in {log_path} begin anew")
            return None
        return record if record.path == log_path else None

    def write_as(self, version: int) -> None:
        """Go on in this format, and put all records into it: a supervisor is to come that reads no newer.

        Raises: OSError.
        """
        self.version = version
        if not os.path.isdir(self.folder):
            return
        for name in os.listdir(self.folder):
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                if name.endswith(".json"):
                    with open(os.path.join(self.folder, name), "rb") as file:
                        record = Record.from_state(SIDECAR.load(json.loads(file.read())))
                    self.save(record)

    def save(self, record: Record) -> None:
        """Replace the record of a log.

        Raises: OSError.
        """
        path = self.path_of(record.path)
        state = SIDECAR.dump(record.to_state(), self.version)
        body = json.dumps(state, separators=(",", ":")).encode("ascii")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            fd = os.open(path + ".new", flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self.folder, 0o700, exist_ok=True)
            fd = os.open(path + ".new", flags, 0o600)
        try:
            if os.write(fd, body) != len(body):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        finally:
            os.close(fd)
        os.rename(path + ".new", path)
