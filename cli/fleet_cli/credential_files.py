"""Writes certificates and keys: whole or not at all, keys never open to others, nothing lost by mistake.

Called by `fleetctl pki`.
"""

import os
from collections.abc import Mapping

from fleet_api.errors import Conflict, Denied

KEY_MODE = 0o600
CERTIFICATE_MODE = 0o644


def make_folder(path: str) -> None:
    """A folder for keys: new ones are 0700; one that others can write to is refused.

    Raises: Denied.
    """
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        mode = os.stat(path).st_mode
    except OSError as error:
        raise Denied("FOLDER_NOT_WRITABLE", f"folder {path}: {error.strerror}") from error
    if mode & 0o022:
        raise Denied(
            "FOLDER_WRITABLE_BY_OTHERS",
            f"others can replace files in {path} (mode {mode & 0o7777:04o})",
            f"chmod go-w {path}",
        )


def write(folder: str, files: Mapping[str, tuple[bytes, int]], *, is_forced: bool = False) -> list[str]:
    """Write files (name -> content, mode) into `folder`; returns their paths.

    All are written and synced beside their places before the first one takes its place.
    Raises: Conflict when one exists and `is_forced` is not set, Denied when the disk does not want them.
    """
    targets = {name: os.path.join(folder, name) for name in files}
    if not is_forced:
        for path in targets.values():
            if os.path.lexists(path):
                raise _exists(path)
    written: list[tuple[str, str]] = []
    try:
        for name, (content, mode) in files.items():
            # Not the target's own name: a file that somebody watches for must appear whole.
            temporary = os.path.join(folder, f".{name}.{os.getpid()}.{os.urandom(4).hex()}")
            _write_synced(temporary, content, mode)
            written.append((temporary, targets[name]))
        while written:
            _put(*written[0], is_forced=is_forced)
            del written[0]
        _sync_folder(folder)
    except OSError as error:
        raise Denied("FILE_NOT_WRITTEN", f"{error.filename or folder}: {error.strerror}") from error
    finally:
        for temporary, _ in written:
            os.unlink(temporary)
    return list(targets.values())


def _write_synced(path: str, content: bytes, mode: int) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(path)
        raise


def _put(temporary: str, target: str, *, is_forced: bool) -> None:
    if is_forced:
        os.replace(temporary, target)
        return
    try:
        # A link fails where the name is taken; a rename would overwrite what came since we looked.
        os.link(temporary, target)
    except FileExistsError as error:
        raise _exists(target) from error
    except OSError as error:  # a file system without links
        if os.path.lexists(target):
            raise _exists(target) from error
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


def _sync_folder(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _exists(path: str) -> Conflict:
    return Conflict("FILE_EXISTS", f"{path} is there already; it was not touched")
