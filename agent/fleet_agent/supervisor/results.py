"""What became of earlier operations, by idempotency key: a request that comes twice is carried out once.

Kept in a file of the runtime folder, one line a fact, so that a new supervisor knows them too:

    {"v":1}
    {"t":1790000000.1,"key":"k1","begun":{"id":"op-7","verb":"restart","runs":{"web:web":3}}}
    {"t":1790000003.2,"key":"k1","result":{…}}
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from fleet_agent.formats.format import State, UnknownVersion
from fleet_agent.formats.table import RESULTS

MAX_RESULTS = 10_000
MAX_AGE_SECONDS = 86_400.0
MAX_BYTES = 16 * 1024 * 1024
"""Of the texts in memory: an operation on a thousand processes has a long one."""


class Known(NamedTuple):
    """What is known of a key: begun, or with its result. Both are JSON texts, to stay small."""

    wall: float
    begun: str
    result: str


class Results:
    """Owns the file of results; forgets what is older than a day, or the oldest when there are too many."""

    def __init__(self, path: str, now: float) -> None:
        self._path = path
        self._known: dict[str, Known] = {}
        self._bytes = 0
        self._fd = -1
        self._lines = 0
        self._version = RESULTS.version
        self.unreadable = ""
        """Why what an earlier supervisor wrote is of no use, in words."""
        try:
            for entry in entries(path):
                # What nobody of this version wrote is passed over.
                with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
                    self._take(entry)
        except UnknownVersion as error:
            self.unreadable = str(error)
        self._forget(now)
        # A full disk costs what the next supervisor would know, not this one.
        with contextlib.suppress(OSError):
            self._rewrite()

    def begun(self, key: str) -> dict[str, Any] | None:
        """How the operation of this key began, if it is known."""
        known = self._known.get(key)
        begun: dict[str, Any] | None = json.loads(known.begun) if known and known.begun else None
        return begun

    def result(self, key: str) -> dict[str, Any] | None:
        """The result under this key, if it has one."""
        known = self._known.get(key)
        result: dict[str, Any] | None = json.loads(known.result) if known and known.result else None
        return result

    def note_begun(self, key: str, begun: dict[str, Any], now: float) -> None:
        """Remember that an operation begins, before anything of it is done."""
        self._note(key, Known(now, json.dumps(begun), ""), {"t": now, "key": key, "begun": begun})
        self._forget(now)

    def note_result(self, key: str, result: dict[str, Any], now: float) -> None:
        """Remember how it ended."""
        known = self._known.get(key)
        begun = known.begun if known else ""
        self._note(key, Known(now, begun, json.dumps(result)), {"t": now, "key": key, "result": result})
        self._forget(now)

    def _note(self, key: str, known: Known, entry: dict[str, Any]) -> None:
        self._keep(key, known)
        with contextlib.suppress(OSError):
            if self._fd < 0 or self._lines > 4 * MAX_RESULTS:
                self._rewrite()
                return
            data = self._line(entry)
            self._lines += 1
            if os.write(self._fd, data) < len(data):
                # What is appended to half a line would be lost with it.
                self._give_up_file()

    def _forget(self, now: float) -> None:
        while self._known:
            oldest = next(iter(self._known))
            is_fresh = self._known[oldest].wall > now - MAX_AGE_SECONDS
            if is_fresh and len(self._known) <= MAX_RESULTS and self._bytes <= MAX_BYTES:
                return
            self._drop(oldest)

    def write_as(self, version: int) -> None:
        """Go on in this format, with all that is known: a supervisor is to come that reads no newer.

        Raises: OSError.
        """
        self._version = version
        self._rewrite()

    def _take(self, entry: State) -> None:
        key, known = from_state(entry)
        before = self._known.get(key, known)
        self._keep(key, Known(known.wall, known.begun or before.begun, known.result or before.result))

    def _keep(self, key: str, known: Known) -> None:
        """As the newest of all."""
        self._drop(key)
        self._known[key] = known
        self._bytes += len(known.begun) + len(known.result)

    def _drop(self, key: str) -> None:
        before = self._known.pop(key, None)
        if before is not None:
            self._bytes -= len(before.begun) + len(before.result)

    def _rewrite(self) -> None:
        self._give_up_file()
        draft = f"{self._path}.draft"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with open(os.open(draft, flags, 0o600), "wb") as file:
            file.write(json.dumps(RESULTS.dump({}, self._version)).encode("ascii") + b"\n")
            for key, known in self._known.items():
                file.write(self._line(to_state(key, known)))
        os.rename(draft, self._path)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = len(self._known)

    def _line(self, entry: State) -> bytes:
        return json.dumps(RESULTS.written(entry, self._version)).encode("ascii") + b"\n"

    def _give_up_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def to_state(key: str, known: Known) -> State:
    """As stored, in one line."""
    entry: State = {"t": known.wall, "key": key}
    if known.begun:
        entry["begun"] = json.loads(known.begun)
    if known.result:
        entry["result"] = json.loads(known.result)
    return entry


def from_state(entry: State) -> tuple[str, Known]:
    """The inverse of `to_state`; a fact may tell of the beginning or of the end alone.

    Raises: ValueError, KeyError, TypeError or AttributeError for what nobody of this version wrote.
    """
    begun = result = ""
    if "begun" in entry:
        begun = json.dumps({name: entry["begun"][name] for name in ("id", "verb", "runs")})
    if "result" in entry:
        result = json.dumps({**entry["result"], "outcomes": list(entry["result"]["outcomes"])})
    return str(entry["key"]), Known(float(entry["t"]), begun, result)


def entries(path: str) -> Iterator[State]:
    """The facts of a file, as the newest format has them; torn lines are passed over.

    Raises: UnknownVersion.
    """
    version: int | None = None
    with contextlib.suppress(OSError), open(path, "rb") as file:
        for line in file:
            with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
                entry = json.loads(line)
                if not isinstance(entry, dict):
                    continue
                if RESULTS.key in entry:
                    version = RESULTS.check(entry[RESULTS.key])
                elif version is not None:
                    yield RESULTS.newest(entry, version)
