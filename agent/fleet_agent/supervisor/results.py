"""What became of earlier operations, by idempotency key: a request that comes twice is carried out once.

Kept in a file of the runtime folder, one line a fact, so that a new supervisor knows them too:

    {"t":1790000000.1,"key":"k1","begun":{"id":"op-7","verb":"restart","runs":{"web:web":3},"terms":["web"]}}
    {"t":1790000003.2,"key":"k1","result":{…}}
"""

import contextlib
import json
import os
from typing import Any, NamedTuple

MAX_RESULTS = 10_000
MAX_AGE_SECONDS = 86_400.0


class Known(NamedTuple):
    """What is known of a key: begun, or with its result. Both are JSON texts, to stay small."""

    wall: float
    begun: str
    result: str


class Results:
    """Owns the file of results; forgets what is older than a day or beyond 10,000."""

    def __init__(self, path: str, now: float) -> None:
        self._path = path
        self._known: dict[str, Known] = {}
        self._load(now)
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

    def _note(self, key: str, known: Known, entry: dict[str, Any]) -> None:
        self._known[key] = known
        # A full disk costs what the next supervisor would know, not the operation.
        with contextlib.suppress(OSError):
            os.write(self._fd, json.dumps(entry).encode("ascii") + b"\n")
            self._lines += 1
            if self._lines > 4 * MAX_RESULTS:
                self._rewrite()

    def _forget(self, now: float) -> None:
        for key in list(self._known):
            if len(self._known) <= MAX_RESULTS and self._known[key].wall > now - MAX_AGE_SECONDS:
                return
            del self._known[key]

    def _load(self, now: float) -> None:
        with contextlib.suppress(FileNotFoundError), open(self._path, "rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    key, wall = entry["key"], entry["t"]
                except (ValueError, KeyError, TypeError):
                    continue
                before = self._known.pop(key, Known(wall, "", ""))
                begun = json.dumps(entry["begun"]) if "begun" in entry else before.begun
                result = json.dumps(entry["result"]) if "result" in entry else before.result
                self._known[key] = Known(wall, begun, result)
        self._forget(now)

    def _rewrite(self) -> None:
        draft = f"{self._path}.draft"
        with open(draft, "wb") as file:
            for key, known in self._known.items():
                entry: dict[str, Any] = {"t": known.wall, "key": key}
                if known.begun:
                    entry["begun"] = json.loads(known.begun)
                if known.result:
                    entry["result"] = json.loads(known.result)
                file.write(json.dumps(entry).encode("ascii") + b"\n")
        os.rename(draft, self._path)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = len(self._known)
