"""Gathers the facts of this host that `checks` judge. Nothing here decides, and nothing is left changed.

Called by `fleet-agent doctor`. What cannot be found out is given as unknown: no host is too odd to be asked.
"""

import os
import pwd
import re
import resource
import socket
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping

from fleet_api.door import Door
from fleet_api.errors import FleetError
from fleet_api.paths import AgentPaths

from fleet_agent.config.load import load
from fleet_agent.config.settings import AgentConfig
from fleet_agent.host import service
from fleet_agent.host.facts import ControlGroup, Facts, Folder, Kernel, Limits, Unit

_ANSWER_SECONDS = 5.0
# Blanks and the like in mount points are written in octal.
_ESCAPED = re.compile(r"\\([0-7]{3})")
_FIRST_LOGIN_UID = 1000
_LAST_LOGIN_UID = 60000


def gather(configuration: str, paths: AgentPaths, keeper: int, environ: Mapping[str, str]) -> Facts:
    """The facts; `configuration` empty when there is none, `keeper` the pid of an agent that runs."""
    loaded = load(configuration, environ, host_name=os.uname().nodename) if configuration else None
    config = loaded.config if loaded else None
    uid = os.geteuid()
    starter = service.gather(uid, environ)
    return Facts(
        uid=uid,
        keeper=keeper,
        answers=bool(keeper) and _answers(paths.door),
        environment=service.environment_of(_read(f"/proc/{keeper}/cmdline").partition("\0")[0])
        if keeper
        else "",
        kernel=Kernel(os.uname().sysname, os.uname().release, _what_works(paths.runtime)),
        group=_control_group(keeper),
        limits=_limits(keeper, starter.unit),
        state=folder(paths.state),
        runtime=folder(paths.runtime),
        logs=tuple(folder(path) for path in _log_folders(config, environ)),
        service=starter,
        configuration=configuration,
        problems=tuple(str(problem) for problem in loaded.problems) if loaded else (),
        config=config,
        gateway_user=_gateway_user(config),
        login_users=_login_users(config),
        port_problem=_port_problem(config) if not keeper else "",
        encoding=sys.getfilesystemencoding(),
        is_clock_synchronized=service.is_clock_synchronized(),
    )


def folder(wanted: str) -> Folder:
    """The folder of this path, or the nearest above it."""
    path = wanted
    while not os.path.isdir(path) and path != os.path.dirname(path):
        path = os.path.dirname(path)
    found = os.stat(path)
    try:
        space = os.statvfs(path)
        free, files = space.f_bavail * space.f_frsize, space.f_favail if space.f_files else None
    except OSError:
        free, files = 0, None
    return Folder(
        wanted,
        path,
        found.st_uid,
        found.st_mode & 0o7777,
        _file_system(path),
        os.access(path, os.W_OK | os.X_OK),
        free,
        files,
    )


def _what_works(runtime: str) -> frozenset[str]:
    trials: dict[str, Callable[[], object]] = {
        "pidfd": lambda: os.close(os.pidfd_open(os.getpid())),
        "memfd": lambda: os.close(os.memfd_create("fleet-agent", os.MFD_CLOEXEC)),
        "reuseport": _try_reuseport,
        "fifo": lambda: _try_fifo(runtime),
    }
    works = set()
    for name, trial in trials.items():
        try:
            trial()
        except (OSError, AttributeError):
            continue
        works.add(name)
    return frozenset(works)


def _try_reuseport() -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _try_fifo(runtime: str) -> None:
    """A FIFO as a child gets it, where the agent makes its own if we may write there."""
    place = folder(runtime).path
    with tempfile.TemporaryDirectory(dir=place if os.access(place, os.W_OK) else None) as scratch:
        path = os.path.join(scratch, "fifo")
        os.mkfifo(path, 0o600)
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))


def _control_group(keeper: int) -> ControlGroup:
    mount = next((where for where, kind in _mounts() if kind == "cgroup2"), "")
    own = next(
        (
            line[3:]
            for line in _read(f"/proc/{keeper or 'self'}/cgroup").splitlines()
            if line.startswith("0::")
        ),
        "",
    )
    if not mount or not own:
        return ControlGroup()
    path = os.path.normpath(mount + own)
    return ControlGroup(
        path,
        os.access(path, os.W_OK) and os.access(f"{path}/cgroup.procs", os.W_OK),
        frozenset(_read(f"{path}/cgroup.controllers").split()),
    )


def _limits(keeper: int, unit: Unit | None) -> Limits:
    open_files = _limit(keeper, resource.RLIMIT_NOFILE, "Max open files")
    processes = _limit(keeper, resource.RLIMIT_NPROC, "Max processes")
    of = f"of the agent, pid {keeper}" if keeper else "of whoever asks"
    if not keeper and unit is not None:
        open_files, of = unit.open_files, "of the unit"
    pid_max = _read("/proc/sys/kernel/pid_max").strip()
    return Limits(
        of, open_files, processes, _most_pids(keeper), int(pid_max) if pid_max.isdecimal() else 32768
    )


def _limit(keeper: int, kind: int, name: str) -> int | None:
    """The hard limit; None is none."""
    for line in _read(f"/proc/{keeper}/limits").splitlines() if keeper else ():
        if line.startswith(name):
            hard = line[len(name) :].split()[1]
            return int(hard) if hard.isdecimal() else None
    hard_limit = resource.getrlimit(kind)[1]
    return None if hard_limit == resource.RLIM_INFINITY else hard_limit


def _most_pids(keeper: int) -> int | None:
    """The lowest pids.max on the way from our control group to the root."""
    lowest: int | None = None
    for line in _read(f"/proc/{keeper or 'self'}/cgroup").splitlines():
        _, names, path = line.split(":", 2)
        if names not in ("", "pids"):
            continue
        kind = "cgroup" if names else "cgroup2"
        for mount, found in _mounts():
            if found != kind or (names and not mount.endswith("/pids")):
                continue
            while path not in ("/", ""):
                text = _read(f"{mount}{path}/pids.max").strip()
                if text.isdecimal():
                    lowest = int(text) if lowest is None else min(lowest, int(text))
                path = os.path.dirname(path)
    return lowest


def _log_folders(config: AgentConfig | None, environ: Mapping[str, str]) -> list[str]:
    if config is None:
        return []
    paths = {config.daemon.logfile}
    for group in config.groups:
        for spec in group.processes:
            paths |= {spec.stdout.path, spec.stderr.path}
            if spec.stdout.is_auto or spec.stderr.is_auto:
                paths.add((config.daemon.childlogdir or environ.get("TMPDIR") or "/tmp") + "/log")  # noqa: S108
    folders = {os.path.dirname(os.path.abspath(path)) for path in paths if path}
    return sorted(path for path in folders if path != "/dev")


def _login_users(config: AgentConfig | None) -> tuple[str, ...]:
    """Those users of programs who may log in, and out."""
    if config is None:
        return ()
    users = {config.daemon.user, *(spec.user for group in config.groups for spec in group.processes)}
    accounts = {name: _account(name) for name in sorted(users - {""})}
    return tuple(
        name
        for name, account in accounts.items()
        if account is not None and _FIRST_LOGIN_UID <= account.pw_uid < _LAST_LOGIN_UID
    )


def _account(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        return None


def _gateway_user(config: AgentConfig | None) -> str:
    wanted = config.fleet.gateway_user if config else ""
    names: Iterable[str] = (wanted,) if wanted else ("fleet-agent", "nobody")
    return next((name for name in names if _account(name)), "")


def _port_problem(config: AgentConfig | None) -> str:
    """Why `listen` cannot be bound; empty when it can, or there is none."""
    if config is None or not config.fleet.listen:
        return ""
    host, _, port = config.fleet.listen.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _answers(door: str) -> bool:
    try:
        with Door.connect(door, _ANSWER_SECONDS) as connection:
            connection.request("ping", timeout_seconds=_ANSWER_SECONDS)
    except FleetError:
        return False
    return True


def _file_system(path: str) -> str:
    """The kind of the file system that holds it: the longest mount point above it, the last of equals."""
    real = os.path.realpath(path)
    best, kind = "", ""
    for where, found in _mounts():
        is_above = real == where or real.startswith(where.rstrip("/") + "/")
        if is_above and len(where) >= len(best):
            best, kind = where, found
    return kind


def _mounts() -> list[tuple[str, str]]:
    """Mount points and kinds, in the order they were mounted."""
    mounts = []
    for line in _read("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        if len(before.split()) > 4 and after:
            where = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), before.split()[4])
            mounts.append((where, after.split()[0]))
    return mounts


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
