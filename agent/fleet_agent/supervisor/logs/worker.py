"""The log thread, and the main loop's only way to it: commands go in, results come out, nothing blocks."""

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs import recovery
from fleet_agent.supervisor.logs.activity import DEBUG, ERROR, INFO, WARN, ActivityLog
from fleet_agent.supervisor.logs.answers import (
    Drained,
    LogDescribed,
    LogGrew,
    LogRotated,
    Result,
    RunClosed,
)
from fleet_agent.supervisor.logs.inflight import InFlight, Journal
from fleet_agent.supervisor.logs.library import Library
from fleet_agent.supervisor.logs.reader import Reader
from fleet_agent.supervisor.logs.streams import CLOSED, Pump, Run, Stream

__all__ = [
    "Drained",
    "LogDescribed",
    "LogGrew",
    "LogRotated",
    "LogWorker",
    "Result",
    "RunClosed",
]

MAX_LINGERING_RUNS = 4
MAX_WAITING_COMMANDS = 10_000


THREAD = "log thread"
ACTIVITY = "activity log"
"""Kinds of trouble."""


def _no_crash(_step: str) -> None:
    pass


def _nobody() -> None:
    pass


def _at_once(act: Callable[[], None]) -> None:
    act()


class LogWorker:
    """Owns every log. All methods belong to one thread, the main loop's, and return at once, save `stop`."""

    def __init__(
        self,
        runtime_dir: str,
        state_dir: str,
        notify: Callable[[], None],
        new_id: Callable[[], str],
        report: Callable[[str, str, str, int], None],
        crash_at: Callable[[str], None] = _no_crash,
        soon: Callable[[Callable[[], None]], None] = _at_once,
        begun: Callable[[], None] = _nobody,
    ) -> None:
        """`notify` is called in the log thread when `results` has something for the first time.

        `report(kind, subject, words, lost)` is called from any thread each time something cannot be done,
        and without words once it can again. `soon` runs what it is given before its caller sleeps. `begun` is
        called in the log thread when it begins to work for the first time since `busy` was asked.
        Raises: OSError when the in-flight journal cannot be made.
        """
        boot_id = _boot_id()
        self._journal = Journal(os.path.join(runtime_dir, "inflight"), boot_id, os.urandom(32))
        self._notify = notify
        self._soon = soon
        self._begun = begun
        self._commands: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._results: deque[Result] = deque()
        self._report = report
        self._library = Library(state_dir, new_id, time.monotonic, self._answer, self._tell, report, crash_at)
        self._activity = ActivityLog(self._library)
        self._pump = Pump(self._journal, self._overheard, crash_at)
        self._pending: InFlight | None = None
        self._runs: dict[tuple[str, int], Run] = {}
        self._reader = Reader(self._move, self._close, self._library.tell_growth)
        self._is_ending = False
        self._is_dropping = False
        self._has_failed = False
        self._busy_since = 0.0
        self._busy_with = ""
        self._is_watched = False
        self._thread = threading.Thread(target=self._work, name="logs", daemon=True)

    # ------------------------------------------------------------ the main loop's side

    def start(self) -> None:
        """Start the thread; its first act is to finish what a killed supervisor had in flight."""
        self._thread.start()

    def stop(self, seconds: float) -> bool:
        """Write what can be read now, and end; False when that took longer than `seconds`."""
        self._command(self._end)
        self._reader.wake()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def open_run(
        self, process: str, run: int, streams: dict[str, int], logs: dict[str, LogSpec], strip: bool = False
    ) -> None:
        """Read these FIFOs into these logs from now on; the descriptors belong to the log thread now.

        A stream without a log, or with one of an empty path, is read and thrown away. `strip` removes
        escape sequences.
        """
        self._command(self._open_run, process, run, dict(streams), dict(logs), strip)

    def ended(self, process: str, run: int) -> None:
        """The child of this run is dead: answer Drained once all it printed is written.

        Whoever else holds its streams is read on until they are closed (RunClosed), four runs of a
        process at most: the oldest is let go of.
        """
        self._command(self._ended, process, run)

    def write(self, process: str, stream: str, data: bytes, log: LogSpec | None = None) -> None:
        """Add the supervisor's own words to the log of the latest run, or to `log` where none is open."""
        self._command(self._write, process, stream, data, log)

    @property
    def records_version(self) -> int:
        """The format in which the records of the logs are written."""
        return self._library.records_version

    def write_records_as(self, version: int) -> None:
        """Go on with the records of the logs in this format: a supervisor is to come that reads no newer."""
        self._command(self._library.write_records_as, version)

    def reopen(self) -> None:
        """Close and open every log, as after somebody else rotated them."""
        self._command(self._library.reopen)

    def activity(self, level: int, line: str) -> None:
        """Write a line of the activity log, stamped with the time of the call.

        While the disk stalls and thousands wait, further lines are dropped: memory is bounded.
        """
        if level < self._activity.level:
            return
        if len(self._commands) >= MAX_WAITING_COMMANDS:
            self._is_dropping = True
            words = f"takes no more lines: {MAX_WAITING_COMMANDS} wait for the disk; further ones are dropped"
            self._report(ACTIVITY, "", words, len(line))
            return
        if self._is_dropping:
            self._is_dropping = False
            self._report(ACTIVITY, "", "", 0)
        self._command(self._activity.write, time.time(), level, line)

    def busy(self, now: float) -> tuple[float, str]:
        """For how many seconds the thread has been at one piece of work (0.0: it waits for one), and at
        which log, where that is known; `now` is monotonic."""
        # In this order: work that is begun meanwhile is either seen here or told.
        self._is_watched = False
        since = self._busy_since
        return (max(0.0, now - since) if since else 0.0), self._busy_with

    def configure_activity(self, path: str, maxbytes: int, backups: int, level: int, echo: bool) -> None:
        """Where the activity log goes ("" for no file) from which level on, and whether to stdout, too."""
        self._command(self._configure_activity, path, maxbytes, backups, level, echo)

    def describe(self, request: int, process: str, stream: str, log: LogSpec, follow: bool) -> None:
        """Ask for the files of a log: LogDescribed, then with `follow` LogGrew and LogRotated."""
        self._command(self._library.describe, request, f"{process} {stream}", log, follow)

    def forget(self, request: int) -> None:
        """This request follows no more; answers that were under way may still come."""
        self._command(self._library.forget, request)

    def results(self) -> list[Result]:
        """Take the answers there are."""
        taken: list[Result] = []
        while self._results:
            taken.append(self._results.popleft())
        return taken

    def _command(self, act: Callable[..., None], *arguments: Any) -> None:
        self._commands.append((act, arguments))
        if len(self._commands) == 1:
            # Not for each command of a turn: the two threads would take turns at every step of both.
            self._soon(self._reader.wake)

    # ------------------------------------------------------------ the thread

    def _work(self) -> None:
        self._guarded(self._recover)
        while not self._is_ending:
            if self._commands:
                self._obey()
            else:
                self._reader.step()
        self._library.close_all()

    def _obey(self) -> None:
        while self._commands:
            act, arguments = self._commands.popleft()
            self._guarded(act, *arguments)
        # What an ended run left in its FIFOs was written just now, and no turn of the reader will tell.
        self._guarded(self._library.tell_growth)

    def _guarded(self, act: Callable[..., None], *arguments: Any) -> None:
        # One bad command must not end the thread that empties everybody's FIFOs.
        self._begin("")
        try:
            act(*arguments)
        except Exception as error:
            self._has_failed = True
            self._report(THREAD, "", f"failed: {type(error).__name__}: {error}", 0)
        else:
            if self._has_failed:
                self._has_failed = False
                self._report(THREAD, "", "", 0)
        finally:
            self._busy_since = 0.0

    def _begin(self, path: str) -> None:
        """A piece of work that may wait for the disk of this log begins."""
        self._busy_with, self._busy_since = path, time.monotonic()
        if not self._is_watched:
            self._is_watched = True
            self._begun()

    def _answer(self, result: Result) -> None:
        self._results.append(result)
        if len(self._results) == 1:
            self._notify()

    def _tell(self, line: str) -> None:
        self._activity.write(time.time(), WARN, line)

    def _overheard(self, stream: Stream, data: bytes) -> None:
        text = data.decode("utf-8", "backslashreplace")
        self._activity.write(time.time(), DEBUG, f"'{stream.run.process}' {stream.name} output:\n{text}")

    # ------------------------------------------------------------ reading

    def _move(self, stream: Stream, is_probe: bool = False) -> int:
        """Move a chunk; a stream that cannot be read is closed."""
        self._begin(stream.log.path if stream.log is not None else "")
        try:
            return self._pump.probe(stream) if is_probe else self._pump.move(stream)
        except Exception as error:
            what = f"{stream.run.process} {stream.name} is read no more: {type(error).__name__}: {error}"
            self._activity.write(time.time(), ERROR, what)
            self._journal.clear()
            self._close(stream)
            return CLOSED
        finally:
            self._busy_since = 0.0

    def _close(self, stream: Stream) -> None:
        """This stream has ended."""
        if stream.fd not in self._reader.streams:
            return
        self._reader.drop(stream)
        os.close(stream.fd)
        run = stream.run
        run.streams.remove(stream)
        if stream.log is not None:
            self._library.close(stream.log)
        if run.is_ended and not run.streams:
            del self._runs[(run.process, run.run)]
            self._answer(RunClosed(run.process, run.run))

    # ------------------------------------------------------------ runs

    def _recover(self) -> None:
        if self._journal.unreadable:
            self._tell(f"{self._journal.unreadable}; what was in flight is lost")
        chunk, self._journal.left_behind = self._journal.left_behind, None
        if chunk is not None and chunk.was_read_for_certain:
            self._finish(chunk)
        else:
            self._pending = chunk

    def _resolve_pending(self, process: str, run: int, stream: str, fd: int) -> None:
        """The stream of a chunk that does not show whether it was read is here again: its FIFO tells."""
        chunk = self._pending
        if chunk is not None and chunk.origin[:3] == (process, run, stream):
            self._pending = None
            if self._pump.waiting(fd) < chunk.length:
                self._finish(chunk)

    def _finish(self, chunk: InFlight) -> None:
        count = recovery.recover(chunk, self._library)
        self._journal.clear()
        origin = chunk.origin
        self._activity.write(
            time.time(),
            INFO,
            f"{origin.process} {origin.stream}: {count} bytes in flight were brought to the log",
        )

    def _open_run(
        self, process: str, run_number: int, fds: dict[str, int], logs: dict[str, LogSpec], strip: bool
    ) -> None:
        run = Run(process, run_number)
        replaced = self._runs.get((process, run_number))
        if replaced is not None:
            for stream in tuple(replaced.streams):
                self._close(stream)
        self._runs[(process, run_number)] = run
        for name, fd in fds.items():
            try:
                self._open_stream(run, name, fd, logs.get(name, LogSpec()), strip)
            except Exception as error:
                if fd not in self._reader.streams:
                    with contextlib.suppress(OSError):
                        os.close(fd)
                what = f"{process} {name} cannot be read: {type(error).__name__}: {error}"
                self._activity.write(time.time(), ERROR, what)

    def _open_stream(self, run: Run, name: str, fd: int, spec: LogSpec, strip: bool) -> None:
        os.set_blocking(fd, False)
        self._resolve_pending(run.process, run.run, name, fd)
        stream = Stream(fd, run, name, None, strip)
        self._reader.add(stream)
        run.streams.append(stream)
        if spec.path:
            stream.log = self._library.open(spec)

    def _ended(self, process: str, run_number: int) -> None:
        run = self._runs.get((process, run_number))
        if run is None:
            self._answer(Drained(process, run_number, True))
            return
        for stream in tuple(run.streams):
            self._drain(stream)
            if stream.fd in self._reader.streams and self._move(stream, is_probe=True) == CLOSED:
                self._close(stream)
        run.is_ended = True
        self._answer(Drained(process, run_number, not run.streams))
        if run.streams:
            self._limit_lingering(process)
        else:
            del self._runs[(process, run_number)]

    def _drain(self, stream: Stream) -> None:
        """Write what the FIFO holds now; a dead child printed no more, what follows is another's."""
        due = self._pump.waiting(stream.fd)
        while due > 0 and (moved := self._move(stream)) > 0:
            due -= moved

    def _limit_lingering(self, process: str) -> None:
        lingering = sorted(run.run for run in self._runs.values() if run.process == process and run.is_ended)
        for number in lingering[:-MAX_LINGERING_RUNS]:
            self._tell(
                f"{process}: what is left of run {number} is read no more: it is the oldest of"
                f" {len(lingering)} ended runs whose output somebody still holds"
            )
            for stream in tuple(self._runs[(process, number)].streams):
                self._close(stream)

    def _end(self) -> None:
        self._is_ending = True
        for stream in tuple(self._reader.streams.values()):
            self._drain(stream)

    def _write(self, process: str, stream_name: str, data: bytes, spec: LogSpec | None) -> None:
        for run in reversed(self._runs.values()):
            if run.process != process:
                continue
            for stream in run.streams:
                if stream.name == stream_name and stream.log is not None:
                    if stream.log.prepare(len(data)):
                        stream.log.append(data)
                    return
        if spec is not None and spec.path:
            log = self._library.open(spec)
            if log.prepare(len(data)):
                log.append(data)
            self._library.close(log)

    def _configure_activity(self, path: str, maxbytes: int, backups: int, level: int, echo: bool) -> None:
        self._activity.configure(path, maxbytes, backups, level, echo)
        self._pump.is_overheard = level <= DEBUG and (bool(path) or echo)


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
