"""Starts one program: descriptors, limits, user, folder and signals as a child expects them.

Called by `holding` for children and by `offices` for supervisor and gateway. Statuses never come from
here: `waitpid` in the keeper's loop is their only source.
"""

import errno
import fcntl
import os
import resource
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, NamedTuple

from fleet_agent.link.messages import Spawn

HANDLED_SIGNALS = (
    signal.SIGCHLD,
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# What Python ignores, and a program does not expect to be ignored.
_SIGNALS_OF_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
# The three standard descriptors of a child; Popen needs as many at most.
SPARE_DESCRIPTORS = 3
# What a fork says for want of something; so does an exec, but it is then the same want.
_EXHAUSTED = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})
_FAILED_STEPS = {
    "groups": "couldn't setuid to {uid}: Could not set groups of effective user",
    "gid": "couldn't setuid to {uid}: Could not set group id of effective user",
    "uid": "couldn't setuid to {uid}: {name}",
    "chdir": "couldn't chdir to {directory}: {name}",
}


class Failure(NamedTuple):
    """Why a program was not started: see `messages.SpawnFailed`."""

    stage: str
    errno: int
    message: str


class Spare:
    """Low descriptors kept closed to others: what a spawn needs when all others are taken.

    A spawn needs some below the child's limit of open files, which is lower than the keeper's.
    """

    def __init__(self) -> None:
        self._fds: list[int] = []
        self.__exit__(None, None, None)

    def __enter__(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while len(self._fds) < SPARE_DESCRIPTORS:
                self._fds.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            # As many as there are; the next turn asks for the rest.
            return


def start_child(
    request: Spawn, ends: Sequence[int], environ: Mapping[bytes, bytes], spare: Spare
) -> int | Failure:
    """Start the program of a request with `ends` (as its `streams`) as its standard descriptors; its pid."""
    by_name = dict(zip(request.streams, ends, strict=True))
    try:
        own = {os.fsencode(key): os.fsencode(value) for key, value in request.environment.items()}
        environment = {**environ, **own}
        if is_other_user(request):
            return _start_as_user(request, by_name, environment, spare)
        with spare, _OpenFiles(request.nofile):
            if request.directory:
                return _popen(request, by_name, environment)
            with _umask(request.umask), _low(by_name, request.nofile) as low:
                return _posix_spawn(request.executable, request.argv, environment, _standard(low))
    except MemoryError:
        return of_resource(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), request.process, "fork")
    except OSError as error:
        return _failure_of(error, request)
    except ImportError as error:
        # No address space for code that was not needed so far, or a Python that is being replaced.
        name = request.process.rpartition(":")[2]
        return Failure("fork", errno.ENOMEM, f"cannot spawn '{name}': {error}")
    except (ValueError, TypeError, AttributeError) as error:
        return Failure("exec", errno.EINVAL, f"couldn't exec {request.executable}: {error}")


def start_office(
    argv: Sequence[str], inherit: Sequence[int], spare: Spare, environ: Mapping[bytes, bytes]
) -> int:
    """Start supervisor or gateway, with these descriptors as 3, 4 and so on.

    Raises: OSError.
    """
    try:
        with spare, _apart(inherit) as copies:
            places = [(os.POSIX_SPAWN_DUP2, fd, place) for place, fd in enumerate(copies, start=3)]
            return _posix_spawn(argv[0], argv, environ, places)
    except (MemoryError, ImportError) as error:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error
    except (ValueError, TypeError) as error:
        raise OSError(errno.EINVAL, str(error)) from error


def take_low_numbers() -> None:
    """Fill every free descriptor up to 5, for good, and keep those of our starter from our children."""
    while True:
        fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        if fd > 5:
            os.close(fd)
            break
        if fd < 3:
            os.set_inheritable(fd, True)
    for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else map(str, range(3, 256)):
        try:
            if int(name) > 2:
                os.set_inheritable(int(name), False)
        except OSError:
            continue


def named(environ: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """An environment without what has no name, which the kernel hands on and `posix_spawn` does not."""
    return {name: value for name, value in environ.items() if name}


def is_other_user(request: Spawn) -> bool:
    """Whether the child must leave the keeper's own user or groups."""
    if request.uid is None:
        return request.gid is not None or request.groups is not None
    return request.uid != os.geteuid()


def _start_as_user(
    request: Spawn, by_name: Mapping[str, int], environment: Mapping[bytes, bytes], spare: Spare
) -> int | Failure:
    # Only where a user is given: without it, the keeper is smaller.
    import subprocess  # noqa: PLC0415

    if os.geteuid() != 0:
        words = f"couldn't setuid to {request.uid}: Can't drop privilege as nonroot user"
        return Failure("setuid", errno.EPERM, words)
    heard, told = os.pipe()
    try:
        with spare, _OpenFiles(request.nofile), _SignalsBlocked():
            return _popen(request, by_name, environment, _becoming(request, told))
    except subprocess.SubprocessError:
        os.set_blocking(heard, False)
        step, _, number = os.read(heard, 64).decode("ascii").partition(" ")
        code = int(number)
        words = _FAILED_STEPS[step].format(
            uid=request.uid, directory=request.directory, name=errno.errorcode.get(code, number)
        )
        return Failure("chdir" if step == "chdir" else "setuid", code, words)
    finally:
        os.close(heard)
        os.close(told)


def _becoming(request: Spawn, told: int) -> Callable[[], None]:
    """What the forked child does before exec, in the order of supervisord: user, then folder."""
    groups = request.groups
    if groups is None:
        groups = [] if request.gid is None else [request.gid]

    def become() -> None:
        step = "groups"
        try:
            os.setgroups(groups)
            step = "gid"
            if request.gid is not None:
                os.setgid(request.gid)
            step = "uid"
            if request.uid is not None:
                os.setuid(request.uid)
            step = "chdir"
            if request.directory:
                os.chdir(request.directory)
        except Exception as error:
            code = error.errno if isinstance(error, OSError) else errno.EINVAL
            os.write(told, f"{step} {code}".encode("ascii"))
            raise
        _reset_signals()

    return become


@contextmanager
def _apart(fds: Sequence[int]) -> Iterator[list[int]]:
    """Copies out of each other's way, of what is to go to 3, 4 and so on."""
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3 + len(fds)))  # noqa: PERF401 - those made are closed
        yield copies
    finally:
        for fd in copies:
            os.close(fd)


# A session of its own, hence a group, too. Within ours, any user's child could open our terminal and type
# into it; and one that somebody has stopped would be hung up on by the kernel when we are killed.


def _posix_spawn(
    executable: str,
    argv: Sequence[str],
    environ: Mapping[bytes, bytes],
    places: Sequence[tuple[Any, ...]],
) -> int:
    """The quick way, for what keeps our user and folder."""
    try:
        return os.posix_spawn(
            executable, list(argv), environ, file_actions=places, setsid=True, setsigdef=_SIGNALS_OF_PYTHON
        )
    except NotImplementedError:
        return _popen_in_place(executable, argv, environ, places)


def _popen_in_place(
    executable: str,
    argv: Sequence[str],
    environ: Mapping[bytes, bytes],
    places: Sequence[tuple[Any, ...]],
) -> int:
    """As `_posix_spawn`, for a Python whose builder had none with sessions (glibc before 2.26)."""
    import subprocess  # noqa: PLC0415 - as in `_start_as_user`

    def arrange() -> None:
        for action, *rest in places:
            if action == os.POSIX_SPAWN_DUP2:
                os.dup2(rest[0], rest[1])
            else:
                place, path, flags, mode = rest
                os.dup2(os.open(path, flags | os.O_CLOEXEC, mode), place)
        _reset_signals()

    try:
        with _SignalsBlocked():
            process = subprocess.Popen(
                argv,
                executable=executable,
                env=environ,
                preexec_fn=arrange,  # noqa: PLW1509 - the keeper has no threads
                close_fds=False,
                start_new_session=True,
            )
    except subprocess.SubprocessError as error:
        # Between fork and exec only descriptors are needed.
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE)) from error
    process.returncode = 0
    return process.pid


def _standard(by_name: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """The standard descriptors as `posix_spawn` is told of them; ours lie above, see `take_low_numbers`."""
    places: list[tuple[Any, ...]] = [
        (os.POSIX_SPAWN_DUP2, by_name[stream], place)
        if stream in by_name
        else (os.POSIX_SPAWN_OPEN, place, os.devnull, os.O_RDWR, 0)
        for place, stream in enumerate(("stdin", "stdout"))
    ]
    return [*places, (os.POSIX_SPAWN_DUP2, by_name.get("stderr", 1), 2)]


@contextmanager
def _low(by_name: Mapping[str, int], limit: int) -> Iterator[Mapping[str, int]]:
    """The same descriptors with numbers below the limit, above which the C library takes none for one.

    Raises: OSError when no number below it is free.
    """
    copies: dict[str, int] = {}
    try:
        for stream, fd in by_name.items():
            if fd >= limit:
                copies[stream] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 0)
        yield {**by_name, **copies}
    finally:
        for fd in copies.values():
            os.close(fd)


def _popen(
    request: Spawn,
    by_name: Mapping[str, int],
    environment: Mapping[bytes, bytes],
    become: Callable[[], None] | None = None,
) -> int:
    """The way for another user or folder, for which `posix_spawn` has no word.

    A `become` enters the folder itself.
    """
    import subprocess  # noqa: PLC0415 - as in `_start_as_user`

    stdout = by_name.get("stdout", subprocess.DEVNULL)
    process = subprocess.Popen(
        request.argv,
        executable=request.executable,
        stdin=by_name.get("stdin", subprocess.DEVNULL),
        stdout=stdout,
        stderr=by_name.get("stderr", stdout),
        env=environment,
        umask=-1 if request.umask is None else request.umask,
        cwd=None if become else request.directory,
        preexec_fn=become,  # noqa: PLW1509 - the keeper has no threads
        close_fds=False,
        start_new_session=True,
    )
    # Else Popen would call waitpid itself, beside the keeper, when it is collected.
    process.returncode = 0
    return process.pid


@contextmanager
def _umask(mask: int | None) -> Iterator[None]:
    """Lends the child's umask to the keeper around a spawn, since it is inherited."""
    before = None if mask is None else os.umask(mask)
    try:
        yield
    finally:
        if before is not None:
            os.umask(before)


def _reset_signals() -> None:
    """In a forked child: let a signal that came since the fork act on the child alone."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class _SignalsBlocked:
    """Around a fork: no handler of ours runs in the child."""

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


class _OpenFiles:
    """Lends the child's soft limit of open files to the keeper around a spawn, since it is inherited.

    Raises: OSError when the limit lies beyond the hard one and that cannot be raised.
    """

    def __init__(self, nofile: int) -> None:
        self._nofile = nofile

    def __enter__(self) -> None:
        self._soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = resource.RLIM_INFINITY
        self._hard = hard if hard == unlimited else max(hard, self._nofile)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._nofile, self._hard))
        except (ValueError, OSError) as error:
            raise OSError(errno.EMFILE, f"no limit of {self._nofile} open files") from error

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._soft, self._hard))


def _failure_of(error: OSError, request: Spawn) -> Failure:
    code = error.errno or 0
    word = errno.errorcode.get(code, str(code))
    if error.filename is None or code in _EXHAUSTED:
        return of_resource(error, request.process, "fork")
    if error.filename == request.directory:
        return Failure("chdir", code, f"couldn't chdir to {request.directory}: {word}")
    return Failure("exec", code, f"couldn't exec {request.executable}: {word}")


def of_resource(error: OSError, process: str, stage: str) -> Failure:
    """The failure of a step that ran out of something: descriptors, processes, memory, space."""
    code = error.errno or 0
    name = process.rpartition(":")[2]
    if code in (errno.EMFILE, errno.ENFILE):
        return Failure("limit", code, f"too many open files to spawn '{name}'")
    if stage == "fork" and code == errno.EAGAIN:
        return Failure("fork", code, f"Too many processes in process table to spawn '{name}'")
    doing = "during fork" if stage == "fork" else "making dispatchers"
    return Failure(stage, code, f"unknown error {doing} for '{name}': {errno.errorcode.get(code, str(code))}")
