"""The agent's part of cgroup v2: one cgroup for each run, below the cgroup the agent was started in.

Nothing but processes is put there: no controller is needed to know, signal and kill a tree.
"""

import os
from binascii import crc32
from collections.abc import Iterator

from fleet_agent.core.tree import RunKey

LEAF = "fleet-agent.leaf"
"""The subgroup in which a service manager may start the agent: then its parent is ours to divide."""

_SAFE = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_NAME_BYTES = 180
_MAX_DEPTH = 8


class Unusable(Exception):
    """Why there is no cgroup v2 to use, in words."""


class Home:
    """The folder of all runs of this agent. Every method may be called from any thread."""

    def __init__(self, place: str, agent: str) -> None:
        """`place`: the folder of the cgroup that the agent is in; `agent` tells it from other agents."""
        self.place = place
        self.is_divided = os.path.basename(place) == LEAF
        above = os.path.dirname(place) if self.is_divided else place
        self._above = above
        self.path = f"{above}/fleet-agent.{agent}"
        self.counts_kills = False
        """Whether each run has a count of its own of those killed for want of memory."""

    def make(self) -> None:
        """Make the folder, and prove that processes may be moved into it.

        Raises: Unusable.
        """
        try:
            os.makedirs(self.path, exist_ok=True)
            for name in (f"{self.path}/cgroup.procs", f"{self._above}/cgroup.procs"):
                os.close(os.open(name, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            raise Unusable(f"{error.filename or self.path}: {error.strerror}") from error
        if self.is_divided:
            for folder in (self._above, self.path):
                _write(f"{folder}/cgroup.subtree_control", b"+memory")
        self.counts_kills = b"memory" in _read(f"{self.path}/cgroup.subtree_control").split()

    def leave(self) -> None:
        """Remove what is empty."""
        for stem, run in self.runs():
            remove(self.folder(stem, run))
        remove(self.path)

    def of_run(self, key: RunKey) -> str:
        """The folder of a run, whether it exists or not."""
        return self.folder(stem_of(key[0]), key[1])

    def runs(self) -> Iterator[tuple[str, int]]:
        """Stem and number of every run that has a folder."""
        for name in _folders(self.path):
            stem, _, run = name.rpartition(".")
            if stem.startswith("run-") and run.isdecimal():
                yield stem, int(run)

    def folder(self, stem: str, run: int) -> str:
        """The folder of a run."""
        return f"{self.path}/{stem}.{run}"


def find_place(pid: str = "self") -> str:
    """The folder of the cgroup v2 that a process is in.

    Raises: Unusable.
    """
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [mount for mount in map(_mount, file) if mount is not None]
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            own = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), "")
    except OSError as error:
        raise Unusable(f"{error.filename}: {error.strerror}") from error
    for root, folder in mounts:
        inside = "" if root == "/" else root
        if own == inside or own.startswith(f"{inside}/"):
            return (folder + own[len(inside) :]).rstrip("/")
    raise Unusable("no cgroup v2 is mounted" if not mounts else f"cgroup {own} is outside of what is mounted")


def _mount(line: str) -> tuple[str, str] | None:
    """Root and folder of a mount of cgroup v2."""
    before, _, after = line.partition(" - ")
    if after.split(" ", 1)[0] != "cgroup2":
        return None
    fields = before.split(" ")
    return _unescaped(fields[3]), _unescaped(fields[4])


def _unescaped(path: str) -> str:
    for code, letter in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, letter)
    return path


def stem_of(id_: str) -> str:
    """What the names of all cgroups of a process begin with, before the run's number."""
    raw = os.fsencode(id_)
    name = "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in raw)
    if len(name) > _NAME_BYTES:
        name = f"{name[:_NAME_BYTES]}~{crc32(raw):08x}"
    return f"run-{name}"


def move(path: str, pid: int) -> None:
    """Move a process into a cgroup that exists.

    Raises: OSError; ProcessLookupError when it is gone.
    """
    fd = os.open(f"{path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d" % pid)
    finally:
        os.close(fd)


def members(path: str, depth: int = 0) -> list[int]:
    """The living processes of a cgroup and of those that they made below it."""
    found = own_members(path)
    if depth < _MAX_DEPTH:
        for name in _folders(path):
            found += members(f"{path}/{name}", depth + 1)
    return found


def own_members(path: str) -> list[int]:
    """The living processes of a cgroup itself; one of a foreign pid namespace has no pid here."""
    return [int(word) for word in _read(f"{path}/cgroup.procs").split() if word != b"0"]


def is_populated(path: str) -> bool:
    """Whether any process lives in it or below it."""
    return b"populated 1" in _read(f"{path}/cgroup.events")


def open_events(path: str) -> int:
    """A descriptor that epoll reports (EPOLLPRI) when `is_populated_by` may have changed.

    Raises: OSError.
    """
    return os.open(f"{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)


def is_populated_by(events: int) -> bool:
    """As `is_populated`, by the descriptor of `open_events`; arms it for the next change."""
    try:
        return b"populated 1" in os.pread(events, 256, 0)
    except OSError:
        return False


def kill(path: str) -> bool:
    """SIGKILL to all in it and below, forks under way included; False where the kernel cannot (< 5.14)."""
    return _write(f"{path}/cgroup.kill", b"1")


def remove(path: str) -> bool:
    """Remove a cgroup and what was made below it, when nobody lives there; whether it is gone."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        below = [] if is_populated(path) else _folders(path)
        removed = [remove(f"{path}/{name}") for name in below]
        return bool(removed) and all(removed) and remove(path)
    return True


def oom_kills(path: str) -> int | None:
    """How many processes of it the kernel has killed for want of memory; None where it does not count."""
    for line in _read(f"{path}/memory.events").splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return None


def _folders(path: str) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def _write(path: str, data: bytes) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, data)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
