"""The agent's own log: its line format, its levels, and the thread's end of it. Used by `worker`."""

import os
import time
from collections.abc import Callable

from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.library import Library
from fleet_agent.supervisor.logs.logfile import LogFile

CRITICAL, ERROR, WARN, INFO, DEBUG, TRACE, BLATHER = 50, 40, 30, 20, 10, 5, 3

LEVELS = {
    "critical": CRITICAL,
    "error": ERROR,
    "warn": WARN,
    "info": INFO,
    "debug": DEBUG,
    "trace": TRACE,
    "blather": BLATHER,
}
"""The levels by their names in the configuration."""

_TAGS = {
    CRITICAL: "CRIT",
    ERROR: "ERRO",
    WARN: "WARN",
    INFO: "INFO",
    DEBUG: "DEBG",
    TRACE: "TRAC",
    BLATHER: "BLAT",
}
_MAX_EARLY_LINES = 1000
_STDOUT = 1


def format_line(local: time.struct_time, milliseconds: int, level: int, message: str) -> str:
    """`2026-11-21 12:00:00,123 INFO message` and a line end."""
    tag = _TAGS.get(level, "INFO")
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', local)},{milliseconds:03} {tag} {message}\n"


class ActivityLog:
    """Writes the lines at or above a level; lines that come before it is configured wait for that."""

    def __init__(self, library: Library, write_stdout: Callable[[int, bytes], int] = os.write) -> None:
        self.level = BLATHER
        self._library = library
        self._write_stdout = write_stdout
        self._log: LogFile | None = None
        self._is_echoed = False
        self._is_configured = False
        self._early: list[tuple[float, int, str]] = []

    def configure(self, path: str, maxbytes: int, backups: int, level: int, is_echoed: bool) -> None:
        """Go on with this file (none for ""), level and echo to standard output."""
        old = self._log
        self._log = self._library.open(LogSpec(path, maxbytes=maxbytes, backups=backups)) if path else None
        if old is not None:
            self._library.close(old)
        self.level = level
        self._is_echoed = is_echoed
        self._is_configured = True
        early, self._early = self._early, []
        for when, line_level, line in early:
            self.write(when, line_level, line)

    def write(self, when: float, level: int, message: str) -> None:
        """Write one line; `when` is seconds since the epoch."""
        if not self._is_configured:
            if len(self._early) < _MAX_EARLY_LINES:
                self._early.append((when, level, message))
            return
        if level < self.level:
            return
        line = format_line(time.localtime(when), int(when * 1000) % 1000, level, message)
        data = line.encode("utf-8", "backslashreplace")
        if self._log is not None:
            if self._log.prepare(len(data)):
                self._log.append(data)
            else:
                self._log.lose(len(data))
        if self._is_echoed:
            try:
                self._write_stdout(_STDOUT, data)
            except OSError:
                self._is_echoed = False  # nobody reads it any more
