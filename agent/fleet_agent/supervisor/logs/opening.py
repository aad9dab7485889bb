"""Opens log files in folders where others than root and ourselves may write.

Whoever may write in a folder can put a link in the place of a log; a root that follows it reads and writes
wherever that user likes. So a link counts as far as its owner's own hand reaches: one that belongs to
neither root nor us leads only into a folder of the same owner. Used by `logfile` and `library`.
"""

import errno
import os
import stat

_MAX_LINKS = 40
_WRITE_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_LOOK_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC

STREAM_DESCRIPTORS = {"/dev/stdout": 1, "/dev/stderr": 2}

Uids = frozenset[int]


def ours() -> Uids:
    """The users whose links and folders lead us nowhere we would not go: root and our own."""
    return frozenset((0, os.geteuid()))


def open_log(path: str, flags: int, mode: int = 0o644, trusted: Uids | None = None) -> int:
    """As os.open, for a path on which no stranger's link leads astray. `trusted` (None: `ours()`).

    Raises: OSError; PermissionError with words for a link that leads out of its owner's folders.
    """
    trusted = ours() if trusted is None else trusted
    folder = os.path.dirname(path)
    if _is_closed(folder, trusted):
        try:
            return os.open(path, flags | os.O_NOFOLLOW, mode)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
    fd, settled_path = _find(path, trusted)
    if fd < 0:
        return os.open(path, flags, mode)
    try:
        return os.open(os.path.basename(settled_path), flags | os.O_NOFOLLOW, mode, dir_fd=fd)
    finally:
        os.close(fd)


def open_for_append(path: str, mode: int) -> int:
    """A descriptor to append to a log, which is made with `mode` where there is none.

    Raises: as `open_log`.
    """
    try:
        return open_log(path, _WRITE_FLAGS, mode)
    except OSError as error:
        # A socket, as systemd gives for standard output, cannot be opened by name.
        if error.errno != errno.ENXIO or path not in STREAM_DESCRIPTORS:
            raise
        return os.dup(STREAM_DESCRIPTORS[path])


def is_plain_file(path: str) -> bool:
    """Whether the path may be rotated: /dev/stdout may lead to a regular file, and is a link itself."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def settled(path: str, trusted: Uids | None = None) -> str:
    """One spelling of a log's path, through the links at its end.

    One that leads to an open descriptor stays as it is, and so does one that `open_log` refuses.
    """
    plain = os.path.normpath(path)
    # One string for all who know it: each process has two logs.
    path = path if plain == path else plain
    if not os.path.islink(path):
        return path
    try:
        fd, found = _find(path, ours() if trusted is None else trusted)
    except OSError:
        return path
    if fd < 0:
        return path
    os.close(fd)
    return found


def _is_closed(folder: str, trusted: Uids) -> bool:
    """Whether nobody else can change what a path through this folder leads to."""
    if not folder.startswith("/"):
        return False
    at = ""
    for part in folder.split("/")[1:]:
        at += f"/{part}"
        try:
            found = os.lstat(at)
        except OSError:
            return False
        is_open = found.st_mode & 0o022 and not found.st_mode & stat.S_ISVTX
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in trusted or is_open:
            return False
    return True


def _find(path: str, trusted: Uids) -> tuple[int, str]:
    """A descriptor of the folder that a path leads to, and the path without links.

    Each step is taken from the folder reached, so that nothing can be exchanged behind us. The descriptor
    is -1 for a path into /proc, whose links no text can tell.
    Raises: OSError.
    """
    left = _steps(os.path.abspath(path))
    at, strangers, links = "", set[int](), 0
    fd = os.open("/", _FOLDER_FLAGS)
    try:
        while left:
            name = left.pop()
            if not at and name == "proc":
                _refuse_strangers(strangers, path)
                os.close(fd)
                return -1, path
            try:
                found = os.open(name, _LOOK_FLAGS, dir_fd=fd)
            except FileNotFoundError:
                if left:
                    raise
                found = -1
            if found >= 0 and stat.S_ISLNK(os.fstat(found).st_mode):
                links += 1
                if links > _MAX_LINKS:
                    os.close(found)
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                strangers |= {os.fstat(found).st_uid} - trusted
                target = os.readlink("", dir_fd=found)
                os.close(found)
                left += _steps(target)
                if target.startswith("/"):
                    fd, at = _moved(fd, os.open("/", _FOLDER_FLAGS)), ""
                continue
            if not left:
                if found >= 0:
                    os.close(found)
                if strangers and strangers != {os.fstat(fd).st_uid}:
                    _refuse_strangers(strangers, path)
                return fd, f"{at}/{name}"
            fd = _moved(fd, found)
            at = at.rpartition("/")[0] if name == ".." else f"{at}/{name}"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    except BaseException:
        os.close(fd)
        raise


def _steps(path: str) -> list[str]:
    """The names on a path, the first one last."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _moved(old: int, new: int) -> int:
    os.close(old)
    return new


def _refuse_strangers(strangers: set[int], path: str) -> None:
    if strangers:
        users = " and ".join(f"uid {uid}" for uid in sorted(strangers))
        words = f"a link of {users} leads out of that user's folders; name the real path"
        raise PermissionError(errno.EPERM, words, path)
