"""The log files in use, one object per path however many streams write to it, and who follows them.

Used by `worker`, `recovery` and `activity`, in the log thread.
"""

import os
from collections.abc import Callable

from fleet_api.errors import FleetError, NotFound, Unavailable

from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.answers import LogDescribed, LogGrew, LogRotated, Result
from fleet_agent.supervisor.logs.logfile import LogFile, Surroundings
from fleet_agent.supervisor.logs.opening import settled
from fleet_agent.supervisor.logs.sidecar import Sidecars


class Library:
    """Opens, shares, describes and closes logs; `answer` takes what the main loop shall know."""

    def __init__(
        self,
        state_dir: str,
        new_id: Callable[[], str],
        clock: Callable[[], float],
        answer: Callable[[Result], None],
        tell: Callable[[str], None],
        report: Callable[[str, str, str, int], None],
        crash_at: Callable[[str], None],
    ) -> None:
        self._logs: dict[str, LogFile] = {}
        self._followed: dict[int, tuple[LogFile, int]] = {}
        self._answer = answer
        self._around = Surroundings(
            sidecars=Sidecars(os.path.join(state_dir, "logs"), tell),
            new_id=new_id,
            clock=clock,
            report=report,
            tell=tell,
            rotated=self._rotated,
            crash_at=crash_at,
            troubled=set(),
        )

    def open(self, spec: LogSpec) -> LogFile:
        """The log of a path for one more writer; the file is made if it can be."""
        log = self._log(spec)
        log.users += 1
        log.prepare(0)
        return log

    def close(self, log: LogFile) -> None:
        """One writer less; the last one closes the file."""
        log.users -= 1
        if log.users <= 0:
            log.close()
            self._forget_unused(log)

    @property
    def records_version(self) -> int:
        """The format in which the records of the logs are written."""
        return self._around.sidecars.version

    def write_records_as(self, version: int) -> None:
        """Go on with the records of the logs in this format; raises: OSError."""
        self._around.sidecars.write_as(version)

    def reopen(self) -> None:
        """Open what the paths name now."""
        for log in list(self._logs.values()):
            log.reopen()

    def close_all(self) -> None:
        """Close every file, whoever uses it."""
        for log in self._logs.values():
            log.close()
        self._logs.clear()
        self._followed.clear()

    def describe(self, request: int, name: str, spec: LogSpec, is_followed: bool) -> None:
        """Answer what files a log consists of; `name` is for words: process and stream."""
        if not spec.path:
            error: FleetError = NotFound(
                "NO_LOG_FILE", f"the output of {name} is not kept", "set its logfile option and update"
            )
            self._answer(LogDescribed(request, "", [], 0, error))
            return
        log = self._log(spec)
        try:
            if not log.look():
                raise FileNotFoundError
            log.identify()
            segments = log.open_segments()
        except FileNotFoundError:
            error = NotFound("LOG_NOT_FOUND", f"{name} has no regular log file at {spec.path}")
            self._answer(LogDescribed(request, "", [], 0, error))
        except OSError as failure:
            error = Unavailable("LOG_NOT_READABLE", f"the log of {name}, {spec.path}: {failure.strerror}")
            self._answer(LogDescribed(request, "", [], 0, error))
        else:
            if is_followed:
                log.followers = (*log.followers, request)
                self._followed[request] = (log, log.end)
            self._answer(LogDescribed(request, log.log_id, segments, log.end))
        self._forget_unused(log)

    def forget(self, request: int) -> None:
        """This request follows no more."""
        followed = self._followed.pop(request, None)
        if followed:
            log = followed[0]
            log.followers = tuple(other for other in log.followers if other != request)
            self._forget_unused(log)

    def tell_growth(self) -> None:
        """Say which followed logs have grown since the last time."""
        for request, (log, told) in self._followed.items():
            if log.end != told:
                self._followed[request] = (log, log.end)
                self._answer(LogGrew(request, log.end))

    def _log(self, spec: LogSpec) -> LogFile:
        path = settled(spec.path)
        log = self._logs.get(path)
        if log is None:
            log = self._logs[path] = LogFile(path, self._around)
        log.configure(spec.maxbytes, spec.backups, spec.is_auto)
        return log

    def _forget_unused(self, log: LogFile) -> None:
        if log.users <= 0 and not log.followers:
            self._logs.pop(log.path, None)

    def _rotated(self, log: LogFile) -> None:
        for request in log.followers:
            try:
                self._answer(LogRotated(request, log.start, log.open_current()))
            except OSError:
                continue  # gone again: the next file is told in its turn
