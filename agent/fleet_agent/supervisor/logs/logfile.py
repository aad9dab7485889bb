"""One log: a file that is appended to, rotated by size, and goes on when the disk does not.

Used by the log thread alone: `streams` writes, `library` opens and describes. Positions are absolute
offsets in bytes, which never go backwards: over a rotation they run on, and where somebody else truncates
or replaces the file, the new content begins at the old end.
"""

import errno
import os
import stat
from collections.abc import Callable
from typing import NamedTuple

from fleet_agent.supervisor.logs.inflight import UNKNOWN_OFFSET
from fleet_agent.supervisor.logs.opening import (
    STREAM_DESCRIPTORS,
    is_plain_file,
    open_for_append,
    open_log,
    ours,
)
from fleet_agent.supervisor.logs.rotation import cut, shift, size_of_backup
from fleet_agent.supervisor.logs.sidecar import Record, Segment, Sidecars, reconcile

RETRY_SECONDS = 0.1
ROTATION_RETRY_SECONDS = 10.0

LOG = "log"
ROTATION = "rotation of log"
POSITIONS = "positions of logs in"
"""Kinds of trouble."""

_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_OWN_STREAMS = (*STREAM_DESCRIPTORS, "/dev/fd/", "/proc/")


class Surroundings(NamedTuple):
    """What a log needs of its owner.

    `report(kind, subject, words, lost)` is called each time something cannot be done, with the bytes that
    went nowhere, and without words once it can again; `tell(line)` goes to the activity log;
    `rotated(log)` is called when a followed log goes on in another file; `clock` is monotonic, in seconds.
    """

    sidecars: Sidecars
    new_id: Callable[[], str]
    clock: Callable[[], float]
    report: Callable[[str, str, str, int], None]
    tell: Callable[[str], None]
    rotated: Callable[["LogFile"], None]
    crash_at: Callable[[str], None]
    # What is in trouble: paths of logs, and the folder of their positions. It outlives who wrote them.
    troubled: set[str]


class LogFile:
    """See the module. `users` counts who writes, `followers` are the requests that want to know."""

    __slots__ = (
        "_around",
        "_at_line_end",
        "_fd",
        "_is_known",
        "_retry_at",
        "_rotation_at",
        "_segments",
        "_why",
        "backups",
        "device",
        "followers",
        "inode",
        "is_auto",
        "is_regular",
        "log_id",
        "maxbytes",
        "path",
        "size",
        "start",
        "users",
    )

    def __init__(self, path: str, around: Surroundings) -> None:
        self.path = path
        self.maxbytes = 0
        self.backups = 0
        self.log_id = ""
        self.start = 0
        self.size = 0
        self.device = 0
        self.inode = 0
        self.is_regular = True
        self.users = 0
        self.followers: tuple[int, ...] = ()
        self._around = around
        self.is_auto = False
        self._fd = -1
        self._segments: tuple[Segment, ...] = ()
        self._at_line_end = True
        self._is_known = False
        self._why = ""
        self._retry_at = 0.0
        self._rotation_at = 0.0

    @property
    def end(self) -> int:
        """The absolute offset after the last byte."""
        return self.start + self.size

    @property
    def offset(self) -> int:
        """`end` for the in-flight journal."""
        return self.end if self.is_regular else UNKNOWN_OFFSET

    def configure(self, maxbytes: int, backups: int, is_auto: bool) -> None:
        """Set the limits; the latest to open the log decides."""
        self.maxbytes = maxbytes
        self.backups = backups
        self.is_auto = is_auto

    @property
    def _is_troubled(self) -> bool:
        return self.path in self._around.troubled

    # ------------------------------------------------------------ writing

    def prepare(self, count: int) -> bool:
        """Whether `count` bytes may be appended now; opens the file, and notices what others did to it."""
        if self._fd < 0:
            return self._open()
        if self._is_troubled and self._around.clock() < self._retry_at:
            return False
        if not self.is_regular:
            return True
        found = os.fstat(self._fd)
        if found.st_nlink == 0:
            self._close_file()
            return self._open()
        if found.st_size != self.size:
            self._adopt(found)
        if self.maxbytes and self.size + count >= self.maxbytes and not self.log_id:
            self.identify()
        return True

    def append(self, data: bytes | memoryview) -> None:
        """Write all of `data`, rotating where it is due; what cannot be written is counted and told."""
        position = 0
        maxbytes = self.maxbytes if self.is_regular else 0
        if maxbytes and self.size >= maxbytes and self._at_line_end:
            self._rotate()
        while position < len(data):
            upto, is_full = len(data), False
            if maxbytes and self._rotation_at == 0.0:
                upto, is_full = cut(data, position, self.size, maxbytes)
            position = self._write(data, position, upto)
            if position < upto:
                return
            if is_full:
                self._rotate()

    def lose(self, count: int) -> None:
        """Count bytes that went nowhere, for the reason of the last failure."""
        self._around.report(LOG, self.path, self._why, count)

    def reopen(self) -> None:
        """Close the file and open what the path names now."""
        if self._fd >= 0:
            self._close_file()
            self._retry_at = 0.0
            self._open()

    def close(self) -> None:
        """Nobody writes any more."""
        if self._fd >= 0:
            if self.log_id:
                self._save(None)
            self._close_file()

    def _write(self, data: bytes | memoryview, position: int, upto: int) -> int:
        begin = position
        try:
            while position < upto:
                if self._fd < 0:
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
                position += os.write(self._fd, data[position:upto])
                self._around.crash_at("written")
        except OSError as error:
            self._fail(error, len(data) - position)
        if position > begin:
            self.size += position - begin
            self._at_line_end = data[position - 1] == 0x0A
            if self._is_troubled and position == upto:
                self._recover()
        return position

    def _fail(self, error: OSError, count: int) -> None:
        self._retry_at = self._around.clock() + RETRY_SECONDS
        self._around.troubled.add(self.path)
        self._why = f"cannot be written: {error.strerror}; what is printed is lost until it can"
        self.lose(count)

    def _recover(self) -> None:
        self._around.troubled.discard(self.path)
        self._around.report(LOG, self.path, "", 0)

    # ------------------------------------------------------------ opening

    def _open(self) -> bool:
        if self._around.clock() < self._retry_at:
            return False
        try:
            self._fd = open_for_append(self.path, 0o600 if self.is_auto else 0o644)
            found = os.fstat(self._fd)
        except OSError as error:
            self._fail(error, 0)
            return False
        self.is_regular = is_plain_file(self.path)
        if self.is_regular:
            try:
                self._adopt(found)
            except OSError as error:
                self._close_file()
                self._fail(error, 0)
                return False
        else:
            # A FIFO of somebody who does not read must not hold up everybody else's output.
            is_own = self.path.startswith(_OWN_STREAMS) or found.st_uid in ours()
            os.set_blocking(self._fd, is_own)
        return True

    def _close_file(self) -> None:
        os.close(self._fd)
        self._fd = -1

    def look(self) -> bool:
        """Learn id and size of a log that is not open; False when there is no such regular file."""
        if self._fd >= 0:
            return self.is_regular
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        if not is_plain_file(self.path):
            return False
        self._adopt(found)
        return True

    def _adopt(self, found: os.stat_result) -> None:
        """Go on with the file that is at the path now."""
        is_first = not self._is_known
        self._is_known = True
        record = (self._around.sidecars.load(self.path) if is_first else None) or self._record(None)
        fitting, words = record, ""
        if record.log_id and record.inode:  # without an inode it is the new file of a rotation
            moved = None
            if found.st_ino != record.inode:
                moved = size_of_backup(self.path, record.inode, max(self.backups, 1))
            settled, words = reconcile(record, (found.st_ino, found.st_size), moved, self.backups)
            if settled is None and is_first:
                settled = record._replace(log_id="", start=0, backups=())
            fitting = settled or record._replace(start=record.end, backups=())
        is_other = not is_first and (found.st_ino != self.inode or fitting.start != self.start)
        self.log_id, self.start, self._segments = fitting.log_id, fitting.start, fitting.backups
        self.device, self.inode, self.size = found.st_dev, found.st_ino, found.st_size
        self._at_line_end = _ends_with_newline(self.path, found.st_size)
        self._around.crash_at("adopted")
        if self.log_id and self._record(None) != record._replace(end=self.end):
            self._save(None)
        if words:
            self._around.tell(f"log {self.path} was {words}; it goes on at byte {self.start}")
        if is_other and self.followers:
            self._around.rotated(self)

    # ------------------------------------------------------------ positions

    def identify(self) -> None:
        """Give the log an id, and its files positions from the oldest on, unless it has them."""
        if self.log_id:
            return
        self.log_id = self._around.new_id()
        sizes: list[tuple[int, int]] = []
        for number in range(1, self.backups + 1):
            try:
                found = os.lstat(f"{self.path}.{number}")
            except OSError:
                break
            if not stat.S_ISREG(found.st_mode):
                break
            sizes.append((found.st_size, found.st_ino))
        start = 0
        segments: list[Segment] = []
        for size, inode in reversed(sizes):
            segments.append(Segment(start, size, inode))
            start += size
        self.start = start
        self._segments = tuple(segments)
        self._save(None)

    def open_segments(self) -> list[tuple[int, int]]:
        """Absolute start and a read-only descriptor of each file there is, oldest first, without gaps.

        Raises: OSError when the file in use cannot be opened.
        """
        opened = [(self.start, self.open_current())]
        paths = {}
        for number in range(1, len(self._segments) + 1):
            path = f"{self.path}.{number}"
            try:
                paths[os.lstat(path).st_ino] = path
            except OSError:
                continue
        for segment in reversed(self._segments):
            try:
                fd = open_log(paths[segment.inode], _READ_FLAGS)
            except (KeyError, OSError):
                break
            opened.append((segment.start, fd))
            found = os.fstat(fd)
            if (found.st_ino, found.st_size) != (segment.inode, segment.length):
                os.close(opened.pop()[1])
                break
        opened.reverse()
        return opened

    def open_current(self) -> int:
        """A read-only descriptor of the file in use.

        Raises: OSError.
        """
        return open_log(self.path, _READ_FLAGS)

    def read_written(self, offset: int, count: int) -> bytes:
        """Bytes of the file in use, by absolute offset; b"" where they are not in it."""
        if offset < self.start:
            return b""
        fd = self.open_current()
        try:
            return os.pread(fd, count, offset - self.start)
        finally:
            os.close(fd)

    def _record(self, length: int | None) -> Record:
        return Record(self.path, self.log_id, self.start, self.inode, length, self.end, self._segments)

    def _save(self, length: int | None) -> None:
        sidecars = self._around.sidecars
        try:
            sidecars.save(self._record(length))
        except OSError as error:
            self._around.troubled.add(sidecars.folder)
            words = f"cannot be written: {error.strerror}; positions in logs may not outlive the agent"
            self._around.report(POSITIONS, sidecars.folder, words, 0)
            return
        if sidecars.folder in self._around.troubled:
            self._around.troubled.discard(sidecars.folder)
            self._around.report(POSITIONS, sidecars.folder, "", 0)

    # ------------------------------------------------------------ rotation

    def _rotate(self) -> None:
        if self._around.clock() < self._rotation_at:
            return
        has_failed = self._rotation_at > 0.0
        self._rotation_at = 0.0
        self.identify()
        self._save(self.size)
        self._around.crash_at("rotation announced")
        try:
            shift(self.path, self.backups, self._around.crash_at)
        except OSError as error:
            self._rotation_at = self._around.clock() + ROTATION_RETRY_SECONDS
            self._save(None)
            self._around.report(ROTATION, self.path, f"fails, and the log grows: {error.strerror}", 0)
            return
        if has_failed:
            self._around.report(ROTATION, self.path, "", 0)
        closed = self._record(None).closed(self.size, self.backups)
        self.start, self.size, self.inode, self._segments = closed.start, 0, 0, closed.backups
        self._at_line_end = True
        self._close_file()
        self._around.crash_at("rotation moved")
        self._retry_at = 0.0
        self._open()


def _ends_with_newline(path: str, size: int) -> bool:
    if size == 0:
        return True
    try:
        fd = open_log(path, _READ_FLAGS)
    except OSError:
        return True
    try:
        return os.pread(fd, 1, size - 1) == b"\n"
    finally:
        os.close(fd)
