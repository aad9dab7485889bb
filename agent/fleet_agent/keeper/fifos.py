"""The FIFOs of one run: the child's ends, and the keeper's that outlive every supervisor.

The child holds its ends open for reading and writing, so that no reader alive means neither SIGPIPE
nor end of file. Called by `holding` for a new run and by `adopt` for one that an earlier keeper left.
"""

import errno
import os
import stat
from collections.abc import Sequence

STREAMS = ("stdin", "stdout", "stderr")
_SUFFIXES = {"stdin": "in", "stdout": "out", "stderr": "err"}
# The kernel never opens these for one reader or writer alone: stdin's own reader keeps it from ENXIO.
_HELD_FLAGS = {"stdin": os.O_RDWR, "stdout": os.O_RDONLY, "stderr": os.O_RDONLY}


def check(streams: Sequence[str]) -> None:
    """Raises: ValueError for streams that no process has."""
    if list(streams) != [stream for stream in STREAMS if stream in streams]:
        raise ValueError(f"no process has the streams {list(streams)!r}")


def paths(folder: str, stem: str, streams: Sequence[str]) -> list[str]:
    """Where the FIFOs of these streams stand."""
    return [f"{folder}/{stem}.{_SUFFIXES[stream]}" for stream in streams]


def found(folder: str) -> dict[str, list[str]]:
    """The streams of each stem that has FIFOs in the folder, in the order of `STREAMS`."""
    names = set(os.listdir(folder))
    stems = sorted({name.rpartition(".")[0] for name in names})
    by_stem = {stem: [s for s in STREAMS if f"{stem}.{_SUFFIXES[s]}" in names] for stem in stems}
    return {stem: streams for stem, streams in by_stem.items() if streams}


def make(wanted: Sequence[str], owner: tuple[int, int] | None) -> None:
    """Make the FIFOs, for the owner (uid, gid) that may open them again through /dev/stdout.

    Raises: OSError; those already made are left to `remove`.
    """
    for path in wanted:
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            # Nothing that is held goes by this name, so it was left behind.
            os.unlink(path)
            os.mkfifo(path, 0o600)
        if owner is not None:
            os.chown(path, *owner, follow_symlinks=False)


def open_held(wanted: Sequence[str], streams: Sequence[str]) -> list[int]:
    """The keeper's ends: non-blocking; of an output only the reading end, so that its end is seen.

    Raises: OSError, with none left open.
    """
    return _open_all(wanted, [_HELD_FLAGS[stream] | os.O_NONBLOCK for stream in streams])


def open_child(wanted: Sequence[str]) -> list[int]:
    """The child's ends: blocking, both ways.

    Raises: OSError, with none left open.
    """
    return _open_all(wanted, [os.O_RDWR] * len(wanted))


def is_fifo(file: str | int) -> bool:
    """Whether this path or descriptor is a FIFO, of whomever.

    Raises: OSError.
    """
    return stat.S_ISFIFO(os.stat(file).st_mode)


def has_reader(path: str) -> bool:
    """Whether a process holds this FIFO open for reading: the child of a stdin that nobody else reads."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in (errno.ENXIO, errno.ENOENT)
    os.close(fd)
    return True


def remove(wanted: Sequence[str]) -> None:
    """Unlink what is there."""
    for path in wanted:
        try:
            os.unlink(path)
        except OSError:
            continue


def close(fds: Sequence[int]) -> None:
    """Close these descriptors."""
    for fd in fds:
        os.close(fd)


def _open_all(wanted: Sequence[str], flags: Sequence[int]) -> list[int]:
    opened: list[int] = []
    try:
        for path, flag in zip(wanted, flags, strict=True):
            opened.append(os.open(path, flag | os.O_CLOEXEC))
    except OSError:
        close(opened)
        raise
    return opened
