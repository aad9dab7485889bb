"""Runs another version's trial beside this supervisor and hears what it says. Used by `upgrading`."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fleet_agent.supervisor.loop import Alarm, Loop

MAX_SECONDS = 20.0
MAX_BYTES = 1024 * 1024


class Said(NamedTuple):
    """What a trial printed, and its wait status; None when it had to be ended for taking too long."""

    output: bytes
    errors: bytes
    status: int | None


class TrialRun:
    """One trial; `on_end` is called once, unless it is cancelled.

    Raises: OSError when the program cannot be started.
    """

    def __init__(
        self, loop: Loop, argv: list[str], environ: Mapping[str, str], on_end: Callable[[Said], None]
    ) -> None:
        self._loop = loop
        self._on_end = on_end
        output, printed = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            errors, complained = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            os.close(output)
            os.close(printed)
            raise
        self._heard: dict[int, bytearray] = {output: bytearray(), errors: bytearray()}
        self._pid = 0
        try:
            os.set_blocking(printed, True)
            os.set_blocking(complained, True)
            self._pid = os.posix_spawn(
                argv[0],
                argv,
                environ,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, printed, 1),
                    (os.POSIX_SPAWN_DUP2, complained, 2),
                ],
                setsigmask=(),
            )
            self._pidfd = os.pidfd_open(self._pid)
        except OSError:
            os.close(output)
            os.close(errors)
            if self._pid:
                os.kill(self._pid, signal.SIGKILL)
                os.waitpid(self._pid, 0)
            raise
        finally:
            os.close(printed)
            os.close(complained)
        self._alarm: Alarm = loop.after(MAX_SECONDS, self._end_it)
        self._is_late = False
        for fd in self._heard:
            loop.watch(fd, lambda fd=fd: self._read(fd))  # type: ignore[misc]
        loop.watch(self._pidfd, self._ended)

    def _end_it(self) -> None:
        self._is_late = True
        os.kill(self._pid, signal.SIGKILL)

    def _read(self, fd: int) -> None:
        """Take what is there; what is beyond the bound is thrown away."""
        heard = self._heard[fd]
        try:
            while piece := os.read(fd, 65536):
                heard += piece[: MAX_BYTES - len(heard)]
        except BlockingIOError:
            return
        self._loop.forget(fd)

    def _ended(self) -> None:
        self._loop.forget(self._pidfd)
        os.close(self._pidfd)
        self._alarm.cancel()
        _, status = os.waitpid(self._pid, 0)
        for fd in self._heard:
            self._read(fd)
            self._loop.forget(fd)
            os.close(fd)
        output, errors = (bytes(heard) for heard in self._heard.values())
        self._on_end(Said(output, errors, None if self._is_late else status))
