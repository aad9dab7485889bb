"""The two folders of an agent, and the locks that keep a second agent out of them. Called by `run`."""

import fcntl
import os
import signal
import stat
import time

from fleet_api.errors import Conflict, Denied
from fleet_api.paths import AgentPaths

from fleet_agent.keeper import procfs
from fleet_agent.keeper.notes import failures, say

FOLDERS = ("fifos", "runs")
"""Below the runtime folder, in this order."""
_LEFTOVER_SECONDS = 5.0
_ASK_SECONDS = 0.02


class Lock:
    """A file that is locked while a descriptor of this opening lives, here or in a child, and tells a pid."""

    def __init__(self, path: str) -> None:
        """Raises: Denied when there is none and none can be made."""
        self.path = path
        flags = os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o600)
        except OSError as error:
            # One that cannot be written can be locked all the same.
            try:
                self.fd = os.open(path, os.O_RDONLY | flags)
            except OSError:
                raise Denied(
                    "FOLDER_NOT_WRITABLE",
                    f"cannot make {path}: {error.strerror}",
                    "make its folder writable, or give another --state-dir",
                ) from error

    @classmethod
    def inherited(cls, path: str, fd: int) -> "Lock":
        """The lock of the program that was in this process before."""
        lock = cls.__new__(cls)
        lock.path, lock.fd = path, fd
        return lock

    def take(self) -> bool:
        """Lock it, unless another has it."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def tell(self, pid: int) -> None:
        """Name the process that others are to look at."""
        try:
            os.pwrite(self.fd, f"{pid}\n".encode("ascii"), 0)
            os.ftruncate(self.fd, len(f"{pid}\n"))
        except OSError as error:
            failures.fails(f"writing {self.path}", f"{error.strerror}; it names an earlier process")
        else:
            failures.works(f"writing {self.path}")

    def holder(self) -> str:
        """The pid that was told last."""
        return os.pread(self.fd, 32, 0).decode("ascii", "replace").strip() or "unknown"

    def close(self) -> None:
        """Give it up, unless a child holds it too."""
        os.close(self.fd)


class Locks:
    """Both locks of a running agent; the supervisor inherits `runtime`: a new keeper waits for its end."""

    def __init__(self, state: Lock, runtime: Lock) -> None:
        self.state = state
        self.runtime = runtime


def inherited(paths: AgentPaths, state_fd: int, runtime_fd: int) -> Locks:
    """The locks of the program that was in this process before."""
    return Locks(
        Lock.inherited(os.path.join(paths.state, "agent.lock"), state_fd),
        Lock.inherited(os.path.join(paths.runtime, "agent.lock"), runtime_fd),
    )


def prepare(paths: AgentPaths) -> Locks:
    """Make the folders and lock them, waiting a little for the supervisor of an agent that was killed.

    Raises: Conflict when another agent has them; Denied when they are not ours alone.
    """
    make(paths.state)
    make(paths.runtime)
    for name in FOLDERS:
        make(os.path.join(paths.runtime, name))
    state = Lock(os.path.join(paths.state, "agent.lock"))
    if not state.take():
        holder = state.holder()
        state.close()
        raise Conflict(
            "AGENT_RUNNING",
            f"an agent (pid {holder}) already runs with the state folder {paths.state}",
            "stop that one, or give this one another --state-dir",
        )
    runtime = Lock(os.path.join(paths.runtime, "agent.lock"))
    end = time.monotonic() + _LEFTOVER_SECONDS
    may_kill = True
    while not runtime.take():
        if time.monotonic() > end:
            holder = runtime.holder()
            if may_kill and _kill_orphan(runtime):
                may_kill = False
                end = time.monotonic() + _LEFTOVER_SECONDS
                continue
            runtime.close()
            state.close()
            raise Conflict(
                "AGENT_RUNNING",
                f"an agent, or what is left of one (pid {holder}), still uses the folder {paths.runtime}",
                f"end it: kill -9 {holder}",
            )
        time.sleep(_ASK_SECONDS)
    state.tell(os.getpid())
    runtime.tell(os.getpid())
    return Locks(state, runtime)


def keeper_of(paths: AgentPaths) -> tuple[int, int] | None:
    """The pid and a pidfd (the caller closes it) of the keeper that has the state folder; None without one.

    Raises: Denied when the folder is somebody else's.
    """
    lock = os.path.join(paths.state, "agent.lock")
    try:
        with open(lock, "rb") as file:
            known = os.fstat(file.fileno())
            pid = int(file.read(32))
        pidfd = os.pidfd_open(pid)
    except PermissionError as error:
        words = f"cannot read {lock}: {error.strerror}"
        raise Denied("FOLDER_NOT_OURS", words, "ask as root or as the agent's user") from error
    except (OSError, ValueError):
        return None
    # The pid is another's by now, unless it has this very file open; asked after pidfd_open.
    if _has_open(pid, known):
        return pid, pidfd
    os.close(pidfd)
    return None


def _has_open(pid: int, known: os.stat_result) -> bool:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        # Gone, or of another user, who could not have locked our file.
        return False
    for name in names:
        try:
            found = os.stat(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (known.st_dev, known.st_ino):
            return True
    return False


def _kill_orphan(lock: Lock) -> bool:
    """Kill a supervisor that has this lock, outlived its keeper and is stuck: it is of no use any more."""
    known = os.fstat(lock.fd)
    try:
        pid = int(lock.holder())
        pidfd = os.pidfd_open(pid)
    except (OSError, ValueError):
        return False
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            is_supervisor = b"/supervisor/main.py\0" in file.read()
        found = procfs.stat(pid)
        if not is_supervisor or found is None or _has_open(found.parent, known) or not _has_open(pid, known):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:
        return False
    finally:
        os.close(pidfd)
    say(f"killed the supervisor (pid {pid}) of an earlier agent, which did not leave")
    return True


def make(path: str) -> None:
    """Make a folder that is ours alone, or check one that is there.

    Raises: Denied naming the folder, its owner or its mode.
    """
    # Folders above it that are missing, too, must not be open to all because our starter had no umask.
    before = os.umask(0o022)
    os.umask(before | 0o022)
    try:
        os.makedirs(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise Denied(
            "FOLDER_NOT_MADE", f"cannot make the folder {path}: {error.strerror}", "give another --state-dir"
        ) from error
    finally:
        os.umask(before)
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode) and found.st_uid in (0, os.geteuid()):
        found = os.stat(path)
    if not stat.S_ISDIR(found.st_mode):
        raise Denied("FOLDER_NOT_OURS", f"{path} is no folder", "remove it, or give another --state-dir")
    if found.st_uid != os.geteuid():
        raise Denied(
            "FOLDER_NOT_OURS",
            f"the folder {path} belongs to uid {found.st_uid}, not to uid {os.geteuid()} who runs this agent",
            "remove it, or give another --state-dir",
        )
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise Denied(
            "FOLDER_WRITABLE_BY_OTHERS",
            f"the folder {path} has mode {stat.S_IMODE(found.st_mode):04o}: others may write there",
            f"chmod 700 {path}",
        )
