"""Reads all state of a running agent as a supervisor would, and changes nothing: for a version to come.

Called by `fleet-agent trial`. A file may change while it is looked at, so what cannot be read is looked at
again before it counts. A file that is torn is no obstacle: whoever wrote it could not read it either.
"""

import json
import os
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from fleet_agent.config import stored
from fleet_agent.core.upgrade import Known
from fleet_agent.formats.format import Format, State, UnknownVersion
from fleet_agent.formats.table import (
    ACTIVE,
    DESIRES,
    EPOCHS,
    FORMATS,
    IN_FLIGHT,
    JOURNAL,
    PORT,
    RESULTS,
    SIDECAR,
    UPGRADE,
)
from fleet_agent.supervisor import desires, epochs, results
from fleet_agent.supervisor.journal_file import replay
from fleet_agent.supervisor.logs import inflight
from fleet_agent.supervisor.logs.sidecar import Record
from fleet_agent.supervisor.upgrading import Upgrade
from fleet_agent.supervisor.whole_file import open_ours

TRIES = 6
PAUSE_SECONDS = 0.05
MAX_BYTES = 64 * 1024 * 1024

Look = Callable[[], tuple[object, Callable[[], object]]]
"""The version that a file tells, and what reads the file as that version."""


class _Torn(Exception):
    """What is there is no whole file."""


class _Doubt(NamedTuple):
    """A file that could not be read when it was looked at."""

    format: Format
    path: str
    look: Look
    version: object
    error: Exception


class Trial:
    """Looks at one file after the other; after `finish`, `problems` and `notes` are sentences about them."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._found: dict[str, set[int]] = {name: set() for name in FORMATS}
        self._doubts: list[_Doubt] = []
        self.problems: list[str] = []
        self.notes: list[str] = []

    @property
    def formats(self) -> dict[str, Known]:
        """What this version reads and writes, and what was found."""
        return {
            name: Known(format_.reads, format_.version, tuple(sorted(self._found[name])))
            for name, format_ in FORMATS.items()
        }

    def read_runtime(self, folder: str, boot_id: str) -> None:
        """Everything that supervisors keep in the runtime folder."""
        for path in _files(os.path.join(folder, "journal"), "journal."):
            self._look(JOURNAL, path, lambda path=path: _look_at_journal(path, boot_id))  # type: ignore[misc]
        path = os.path.join(folder, "results")
        self._look(RESULTS, path, lambda: _look_at_results(path))
        self.read_whole(ACTIVE, os.path.join(folder, "active.json"), stored.from_state)
        self.read_whole(PORT, os.path.join(folder, "port"), lambda state: int(state["port"]))
        self.read_whole(UPGRADE, os.path.join(folder, "upgrade.json"), Upgrade.from_state)
        in_flight = os.path.join(folder, "inflight")
        self._look(IN_FLIGHT, in_flight, lambda: _look_at_in_flight(in_flight))

    def read_state(self, folder: str) -> None:
        """Everything that supervisors keep in the state folder."""
        self.read_whole(EPOCHS, os.path.join(folder, "epochs.json"), epochs.from_state)
        self.read_whole(DESIRES, os.path.join(folder, "desires.json"), desires.from_state)
        for path in _files(os.path.join(folder, "logs"), "", ".json"):
            self.read_whole(SIDECAR, path, Record.from_state)

    def read_whole(self, format_: Format, path: str, from_state: Callable[[State], object]) -> None:
        """A file that holds one JSON object."""

        def look() -> tuple[object, Callable[[], object]]:
            state = _json(_bytes(path))
            version = state.get(format_.key) if isinstance(state, dict) else None
            return version, lambda: from_state(format_.load(state))

        self._look(format_, path, look)

    def finish(self) -> None:
        """Look again at all that could not be read, a few times; what stays so is told."""
        for _ in range(TRIES - 1):
            if not self._doubts:
                return
            self._sleep(PAUSE_SECONDS)
            doubts, self._doubts = self._doubts, []
            for doubt in doubts:
                self._look(doubt.format, doubt.path, doubt.look)
        unknown: dict[str, list[str]] = {}
        for doubt in self._doubts:
            self._note(doubt.format, doubt.version)
            said = self.problems if doubt.format.is_vital else self.notes
            if isinstance(doubt.error, UnknownVersion):
                paths = unknown.setdefault(str(doubt.error), [])
                if not paths:
                    said.append(str(doubt.error))
                paths.append(doubt.path)
            elif isinstance(doubt.error, _Torn):
                self.notes.append(f"{doubt.path} is torn, or no file of an agent; any version passes it over")
            else:
                said.append(_words(doubt))
        for told in (self.problems, self.notes):
            told[:] = [f"{words} ({_shown(unknown[words])})" if words in unknown else words for words in told]

    def _look(self, format_: Format, path: str, look: Look) -> None:
        version: object = None
        try:
            version, read = look()
            read()
        except FileNotFoundError:
            return
        except Exception as error:  # whatever it is, that version would meet it, too
            self._doubts.append(_Doubt(format_, path, look, version, error))
            return
        self._note(format_, version)

    def _note(self, format_: Format, version: object) -> None:
        if isinstance(version, int):
            self._found[format_.name].add(version)


def _words(doubt: _Doubt) -> str:
    if isinstance(doubt.error, OSError):
        return f"{doubt.path} cannot be read: {doubt.error.strerror}"
    return f"{doubt.path} cannot be read as {doubt.format.words} of format {doubt.version}: {doubt.error!r}"


def _shown(paths: list[str]) -> str:
    return f"{paths[0]} and {len(paths) - 1} more" if len(paths) > 1 else paths[0]


def _look_at_journal(path: str, boot_id: str) -> tuple[object, Callable[[], object]]:
    return _json(_first_line(path)).get(JOURNAL.key), lambda: replay(path, boot_id)


def _look_at_results(path: str) -> tuple[object, Callable[[], object]]:
    version = _json(_first_line(path)).get(RESULTS.key)
    return version, lambda: [results.from_state(entry) for entry in results.entries(path)]


def _look_at_in_flight(path: str) -> tuple[object, Callable[[], object]]:
    version = inflight.version_of(_bytes(path))
    return version, lambda: version is None or IN_FLIGHT.check(version)


def _files(folder: str, prefix: str, suffix: str = "") -> list[str]:
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [f"{folder}/{name}" for name in names if name.startswith(prefix) and name.endswith(suffix)]


def _bytes(path: str) -> bytes:
    with _opened(path) as file:
        return file.read()


def _first_line(path: str) -> bytes:
    with _opened(path) as file:
        return file.readline()


def _opened(path: str) -> BinaryIO:
    try:
        return open_ours(path, MAX_BYTES)
    except ValueError as error:
        raise _Torn from error


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Torn from error
