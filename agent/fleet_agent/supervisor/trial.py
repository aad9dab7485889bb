"""Reads all state of a running agent as a supervisor would, and changes nothing: for a version to come.

Called by `fleet-agent trial`. A file may change while it is looked at, so what cannot be read is looked at
again before it counts. A file that is torn is no obstacle: whoever wrote it could not read it either.
"""

import json
import os
from collections.abc import Callable
from typing import Any

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

TRIES = 6
PAUSE_SECONDS = 0.05

Look = Callable[[], tuple[object, Callable[[], object]]]
"""The version that a file tells, and what reads the file as that version."""


class _Torn(Exception):
    """What is there is no whole file."""


class Trial:
    """Looks at one file after the other; `problems` and `notes` are sentences that name them."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        self._sleep = sleep
        self._found: dict[str, set[int]] = {name: set() for name in FORMATS}
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

    def _look(self, format_: Format, path: str, look: Look) -> None:
        version: object = None
        for left in reversed(range(TRIES)):
            try:
                version, read = look()
                read()
                break
            except FileNotFoundError:
                return
            except Exception as error:  # whatever it is, that version would meet it, too
                if not left:
                    self._tell(format_, path, version, error)
                    break
            self._sleep(PAUSE_SECONDS)
        if isinstance(version, int):
            self._found[format_.name].add(version)

    def _tell(self, format_: Format, path: str, version: object, error: Exception) -> None:
        if isinstance(error, _Torn):
            self.notes.append(f"{path} is torn; any version passes it over")
            return
        words = f"{path} cannot be read as {format_.words} of format {version}: {error!r}"
        if isinstance(error, UnknownVersion):
            words = f"{error} ({path})"
        elif isinstance(error, OSError):
            words = f"{path} cannot be read: {error.strerror}"
        (self.problems if format_.is_vital else self.notes).append(words)


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
    with open(path, "rb") as file:
        return file.read()


def _first_line(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.readline()


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Torn from error
