"""The in-flight journal: the one chunk that has left a FIFO and is not known to be in its log.

Whoever reads a FIFO takes the bytes out of the kernel; killed before it has written them, it loses them.
So the bytes are read into a mapping of a file that outlives the process, under a header that says whose
they are. One chunk is in flight at a time, written by `streams`, recovered by `recovery`.

    1  fill     a sentinel goes where the first bytes will come to lie
    2  announce the header: n (what FIONREAD told), the stream, the log and the absolute offset at
                which the log ends, the sentinel; the mark and checksum come last
    3  read     exactly n bytes, straight into the mapping
    4  write    into the log, which may rotate between pieces
    5  clear    the mark

A kill -9 leaves a mapping as the last instruction left it; a started readv ends, because it does not
sleep (the FIFO is not blocking, n bytes are there, and all pages were touched at the start). Hence:

Killed in 1 or 2: the mark or the checksum is wrong; nothing was read. The header of an earlier chunk
cannot be taken for this one's, because 5 is over when 1 begins.
Killed in 2 to 3: was it read? If the first bytes differ from the sentinel, yes, since only readv
changes them. If they do not, a FIFO that holds less than n bytes says yes (nobody else reads it, so it
can only have grown otherwise), else no. That is wrong only for a child that printed the sentinel itself:
16 random bytes that only this file tells or, for fewer than 16, bytes that never occur in UTF-8 and, drawn
anew by each supervisor, are one choice of 13 for each byte of the chunk; it must also have refilled the FIFO.
Killed in 4 or 5: how much reached the log? Absolute offsets do not jump at a rotation, so what the log has
grown since the announced offset is what was written, and the rest is due (see `sidecar` for how a log
knows its offset after a kill in the middle of a rotation).
Recovery writes the rest and then clears; killed itself, it is repeated and finds less to do.

A child that reads its own output while being read breaks the first premise: up to n bytes may then be
doubled. The file belongs to one boot: after a reboot it is ignored.
"""

import binascii
import mmap
import os
import struct
from typing import NamedTuple

from fleet_agent.formats.format import UnknownVersion
from fleet_agent.formats.table import IN_FLIGHT

HEADER_BYTES = 8192
CHUNK_BYTES = 65536
SENTINEL_BYTES = 16
UNKNOWN_OFFSET = -1
"""The offset of a log that is no regular file."""

_NAME = b"FLT"
_MARK = _NAME + b"%d" % IN_FLIGHT.version
_NO_MARK = b"\0\0\0\0"
_FRONT = struct.Struct("=4sII")  # mark, checksum of the rest, length of the rest
_FIXED = struct.Struct("=IiqqQQ16s")  # n, ansi state, offset, size, device, inode, sentinel
_NEVER_IN_UTF8 = bytes([0xC0, 0xC1, *range(0xF5, 0x100)])


class Origin(NamedTuple):
    """Whose bytes these are, and where they go: all that recovery needs to open the log again."""

    process: str
    run: int
    stream: str
    path: str
    log_id: str
    is_auto: bool
    maxbytes: int
    backups: int


class InFlight(NamedTuple):
    """A chunk that a killed supervisor left behind.

    `offset` is the absolute end of the log, `size` that of the file (device, inode), both before the chunk.
    """

    origin: Origin
    length: int
    ansi_state: int
    offset: int
    size: int
    device: int
    inode: int
    sentinel: bytes
    data: bytes

    @property
    def was_read_for_certain(self) -> bool:
        """Whether the bytes themselves show that they came out of the FIFO."""
        return self.data[: len(self.sentinel)] != self.sentinel


def encode_origin(origin: Origin, boot_id: str) -> bytes:
    """The part of a header that is the same for each chunk of a stream.

    Raises: ValueError when the names are longer than a header.
    """
    fields = (
        boot_id,
        origin.process,
        str(origin.run),
        origin.stream,
        origin.log_id,
        str(int(origin.is_auto)),
        str(origin.maxbytes),
        str(origin.backups),
        origin.path,
    )
    tail = b"\0".join(os.fsencode(field) for field in fields)
    room = HEADER_BYTES - _FRONT.size - _FIXED.size
    if len(tail) > room:
        raise ValueError(f"the names of a log take {len(tail)} bytes; a journal header holds {room}")
    return tail


def sentinels(random_bytes: bytes) -> tuple[bytes, bytes]:
    """The sentinel of long chunks and that of chunks shorter than it, from 16 and 16 random bytes."""
    short = bytes(_NEVER_IN_UTF8[byte % len(_NEVER_IN_UTF8)] for byte in random_bytes[SENTINEL_BYTES:])
    return random_bytes[:SENTINEL_BYTES], short


def version_of(image: bytes) -> int | None:
    """The format of the chunk that a journal file holds; None when there is no chunk."""
    number = image[len(_NAME) : len(_MARK)]
    return int(number) if image.startswith(_NAME) and number.isdigit() else None


def decode(image: bytes, boot_id: str) -> InFlight | None:
    """The chunk that a journal file holds; None when there is none, or it is of another boot, or damaged."""
    if len(image) < HEADER_BYTES + CHUNK_BYTES:
        return None
    mark, checksum, length = _FRONT.unpack_from(image)
    rest = image[_FRONT.size : _FRONT.size + length]
    if (
        mark != _MARK
        or not _FIXED.size < length <= HEADER_BYTES - _FRONT.size
        or binascii.crc32(rest) != checksum
    ):
        return None
    count, ansi_state, offset, size, device, inode, sentinel = _FIXED.unpack_from(rest)
    fields = [os.fsdecode(field) for field in rest[_FIXED.size :].split(b"\0")]
    if len(fields) != 9 or fields[0] != boot_id or not 0 < count <= CHUNK_BYTES:
        return None
    try:
        origin = Origin(
            process=fields[1],
            run=int(fields[2]),
            stream=fields[3],
            path=fields[8],
            log_id=fields[4],
            is_auto=fields[5] == "1",
            maxbytes=int(fields[6]),
            backups=int(fields[7]),
        )
    except ValueError:
        return None
    return InFlight(
        origin=origin,
        length=count,
        ansi_state=ansi_state,
        offset=offset,
        size=size,
        device=device,
        inode=inode,
        sentinel=sentinel[: min(count, SENTINEL_BYTES)],
        data=image[HEADER_BYTES : HEADER_BYTES + count],
    )


class Journal:
    """The mapping. `data` is where chunks are read to; what is outside an announced chunk is scratch."""

    def __init__(self, path: str, boot_id: str, random_bytes: bytes) -> None:
        """Open the journal; `left_behind` is what the last supervisor did not finish.

        Raises: OSError when the file cannot be made or its space not be had.
        """
        self.boot_id = boot_id
        self._long, self._short = sentinels(random_bytes)
        size = HEADER_BYTES + CHUNK_BYTES
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, size)  # a full disk must fail here, not by SIGBUS in the mapping
            self._map = mmap.mmap(fd, size)
        finally:
            os.close(fd)
        self.left_behind = decode(self._map[:], boot_id)
        self.unreadable = ""
        """Why the chunk that is there is of no use, in words."""
        if (version := version_of(self._map[:HEADER_BYTES])) is not None:
            try:
                IN_FLIGHT.check(version)
            except UnknownVersion as error:
                self.unreadable = str(error)
        self.data = memoryview(self._map)[HEADER_BYTES:]
        for page in range(0, size, mmap.PAGESIZE):
            self._map[page] = self._map[page]

    def announce(
        self, tail: bytes, count: int, ansi_state: int, offset: int, size: int, device: int, inode: int
    ) -> None:
        """Steps 1 and 2: `count` bytes of the stream of `tail` are about to be read."""
        if count >= SENTINEL_BYTES:
            sentinel = self._long
            self._map[HEADER_BYTES : HEADER_BYTES + SENTINEL_BYTES] = sentinel
        else:
            sentinel = self._short
            self._map[HEADER_BYTES : HEADER_BYTES + count] = sentinel[:count]
        rest = _FIXED.pack(count, ansi_state, offset, size, device, inode, sentinel) + tail
        front = _FRONT.size
        self._map[front : front + len(rest)] = rest
        self._map[:front] = _FRONT.pack(_MARK, binascii.crc32(rest), len(rest))

    def clear(self) -> None:
        """Step 5: nothing is in flight."""
        self._map[:4] = _NO_MARK

    def close(self) -> None:
        """Unmap; the file stays."""
        self.data.release()
        self._map.close()
