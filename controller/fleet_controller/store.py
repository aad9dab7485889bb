"""What the controller keeps on disk: its epoch, its address in use, and the lock on the folder.

Called by `main`. Files are written beside their place, synced and renamed, so that a reader sees the
old or the new and a crash leaves one of them.
"""

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

from fleet_api.errors import Broken, Conflict, Denied

VERSION = 1
EPOCH_FILE = "epoch.json"
ENDPOINT_FILE = "endpoint.json"
LOCK_FILE = "lock"


class StateDir:
    """The state folder of one running controller; made with mode 0700 when it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: int | None = None

    def lock(self) -> None:
        """Take the folder until `close` or the end of this program.

        Raises: Conflict STATE_DIR_IN_USE while another controller has it; Denied when it cannot be used.
        """
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _refuse_shared(self._path)
            fd = os.open(self._path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Denied(
                "STATE_DIR_NOT_USABLE",
                f"state_dir {self._path}: {error.strerror}",
                "give a folder that this user may write",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise Conflict(
                "STATE_DIR_IN_USE",
                f"state_dir {self._path} belongs to a running fleet-controller",
                "end that one first, or give this one a state_dir of its own",
            ) from error
        self._lock = fd

    def next_epoch(self) -> int:
        """The number of this start: one more than the last, on disk before it is used.

        Raises: Broken EPOCH_UNREADABLE rather than begin again below what the agents have seen.
        """
        path = self._path / EPOCH_FILE
        epoch = _read_epoch(path) + 1
        self._write(EPOCH_FILE, {"version": VERSION, "epoch": epoch})
        return epoch

    def write_endpoint(self, address: str) -> None:
        """Tell where this controller really listens."""
        self._write(ENDPOINT_FILE, {"version": VERSION, "address": address, "pid": os.getpid()})

    def close(self) -> None:
        """Give the folder back."""
        if self._lock is not None:
            (self._path / ENDPOINT_FILE).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def _write(self, name: str, content: dict[str, Any]) -> None:
        path = self._path / name
        beside = path.with_name(f".{name}.new")
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(beside, flags, 0o644)
            with os.fdopen(fd, "w", encoding="ascii") as file:
                json.dump(content, file)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise Denied(
                "STATE_DIR_NOT_USABLE", f"{path}: {error.strerror}", "the controller keeps its epoch there"
            ) from error


def _refuse_shared(folder: Path) -> None:
    """Whoever may write there could set the epoch back, and let a replaced controller command again."""
    found = folder.stat()
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise Denied(
            "FOLDER_WRITABLE_BY_OTHERS",
            f"state_dir {folder} has mode {mode:04o}: others may write there",
            f"chmod 700 {folder}",
        )
    if found.st_uid not in (0, os.geteuid()):
        raise Denied(
            "FOLDER_NOT_OURS",
            f"state_dir {folder} belongs to uid {found.st_uid}, not to uid {os.geteuid()} who runs this",
            "give a folder of this user",
        )


def _read_epoch(path: Path) -> int:
    try:
        content = json.loads(path.read_bytes())
        epoch = content["epoch"]
        if isinstance(epoch, bool) or not isinstance(epoch, int) or epoch < 0:
            raise ValueError(f"epoch {epoch!r}")
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Broken(
            "EPOCH_UNREADABLE",
            f"{path} holds no epoch: {error}",
            'write {"version": 1, "epoch": N} into it, N at least the last one: agents refuse an older one',
        ) from error
    return epoch
