"""Small files that nobody ever reads half-written, and reading with care what stands in their place."""

import contextlib
import os
import stat
from typing import BinaryIO


def write_whole(path: str, text: str, is_lasting: bool = False) -> None:
    """Put `text` in the place of the file at `path`; what is no regular file (a device) is written to.

    `is_lasting`: it is on the disk when the call returns, which may take as long as the disk takes.
    Raises: OSError; the file is then as it was.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        # A FIFO that nobody reads must not hold us.
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
        return
    draft = f"{path}.draft"
    # A file of ours, not one that somebody has put there in a folder for all.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(draft, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if is_lasting:
            os.fsync(file.fileno())
    os.rename(draft, path)
    if is_lasting:
        sync_folder(os.path.dirname(path) or ".")


def open_ours(path: str, max_bytes: int) -> BinaryIO:
    """Open a file to read it, if it is one that an agent may have written: it waits for nobody.

    Raises: OSError; ValueError for what is no file, belongs to somebody else, or is too large.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    found = os.fstat(fd)
    problem = ""
    if not stat.S_ISREG(found.st_mode):
        problem = "it is no file"
    elif found.st_uid not in (0, os.geteuid()):
        problem = f"it belongs to uid {found.st_uid}"
    elif found.st_size > max_bytes:
        problem = f"it has {found.st_size} bytes; at most {max_bytes} are read"
    if problem:
        os.close(fd)
        raise ValueError(problem)
    return open(fd, "rb")


def read_ours(path: str, max_bytes: int) -> bytes:
    """All of such a file. Raises: as `open_ours`."""
    with open_ours(path, max_bytes) as file:
        return file.read()


def set_aside(path: str) -> str:
    """Keep a damaged file for whoever wants to look at it, out of the way; what became of it, in words."""
    aside = f"{path}.bad"
    try:
        os.rename(path, aside)
    except OSError as error:
        return f"it cannot be set aside: {error.strerror}"
    return f"it is now {aside}"


def remove_whole(path: str) -> None:
    """Take away what `write_whole` has put there; what is no regular file stays.

    Raises: OSError.
    """
    if os.path.isfile(path):
        os.unlink(path)


def sync_folder(path: str) -> None:
    """Have on the disk what names a folder holds.

    Raises: OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
