"""Small files that nobody ever reads half-written. Called for epochs, endpoint, port and pid."""

import contextlib
import os


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
