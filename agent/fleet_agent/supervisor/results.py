"""What became of earlier operations, by idempotency key: a request that comes twice is carried out once.

Kept in a file of the runtime folder, one line a fact, so that a new supervisor knows them too:

    {"v":1}
    {"t":1790000000.1,"m":512.1,"key":"k1","begun":{"id":"op-7","verb":"restart","runs":{"web:web":3}}}
    {"t":1790000003.2,"m":515.2,"key":"k1","result":{…}}

`m` is the monotonic clock: how old a result is does not depend on the time of day, which may jump.
"""

import contextlib
import errno
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fleet_agent.core.model import Now
from fleet_agent.formats.format import DAMAGE, State, UnknownVersion
from fleet_agent.formats.table import RESULTS
from fleet_agent.supervisor.whole_file import open_ours, set_aside

MAX_RESULTS = 10_000
MAX_AGE_SECONDS = 86_400.0
MAX_FILE_BYTES = 1024 * 1024 * 1024
MAX_BYTES = 16 * 1024 * 1024
"""Of the texts in memory: an operation on a thousand processes has a long one."""


class Known(NamedTuple):
    """What is known of a key: begun, or with its result. Both are JSON texts, to stay small."""

    wall: float
    begun: str
    result: str
    # By the clock that nobody sets; None where that is not known.
    monotonic: float | None = None


class Results:
    """Owns the file of results; forgets what is older than a day, or the oldest when there are too many."""

    def __init__(self, path: str, now: Now, report: Callable[[str], None]) -> None:
        """`report` takes why the file cannot be written, and "" once it can again."""
        self._path = path
        self._report = report
        self._is_behind = False
        self._known: dict[str, Known] = {}
        self._bytes = 0
        self._fd = -1
        self._lines = 0
        self.version = RESULTS.version
        self.unreadable = ""
        """Why what an earlier supervisor wrote is of no use, in words."""
        try:
            found = version_of(path)
            self.version = RESULTS.going_on(found)
            for entry in entries(path):
                # What nobody of this version wrote is passed over.
                with contextlib.suppress(*DAMAGE):
                    self._take(entry, now)
            if found is None and not self._known and os.path.exists(path):
                raise ValueError("it tells nothing")
        except UnknownVersion as error:
            self.unreadable = str(error)
        except (OSError, *DAMAGE):
            self.unreadable = f"{path} is damaged; {set_aside(path)}"
        self._forget(now)
        self._write(None)

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

    def note_begun(self, key: str, begun: dict[str, Any], now: Now) -> None:
        """Remember that an operation begins, before anything of it is done."""
        known = Known(now.wall, json.dumps(begun), "", now.monotonic)
        self._keep(key, known)
        self._write(to_state(key, known))
        self._forget(now)

    def note_result(self, key: str, result: dict[str, Any], now: Now) -> None:
        """Remember how it ended."""
        before = self._known.get(key)
        known = Known(now.wall, "", json.dumps(result), now.monotonic)
        self._keep(key, known._replace(begun=before.begun if before else ""))
        self._write(to_state(key, known))
        self._forget(now)

    def _write(self, entry: State | None) -> None:
        """Append one entry, or write all that is known where that is due or came to nothing before.

        A full disk costs what the next supervisor would know, not this one.
        """
        try:
            if entry is None or self._fd < 0 or self._lines > 4 * MAX_RESULTS:
                self._rewrite()
            else:
                self._append(entry)
        except OSError as error:
            self._is_behind = True
            # What is appended to half a line would be lost with it.
            self._give_up_file()
            self._report(
                f"cannot be written: {error.strerror};"
                " a new supervisor would carry out a retried command once more"
            )
            return
        if self._is_behind:
            self._is_behind = False
            self._report("")

    def catch_up(self) -> None:
        """Write the file anew if it could not be written; reports how that went."""
        if self._is_behind:
            self._write(None)

    def _append(self, entry: State) -> None:
        data = self._line(entry)
        self._lines += 1
        if os.write(self._fd, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _forget(self, now: Now) -> None:
        while self._known:
            oldest = next(iter(self._known))
            is_fresh = (self._known[oldest].monotonic or 0.0) > now.monotonic - MAX_AGE_SECONDS
            if is_fresh and len(self._known) <= MAX_RESULTS and self._bytes <= MAX_BYTES:
                return
            self._drop(oldest)

    def write_as(self, version: int) -> None:
        """Go on in this format, with all that is known: a supervisor is to come that reads no newer.

        Raises: OSError.
        """
        self.version = version
        self._rewrite()

    def _take(self, entry: State, now: Now) -> None:
        key, known = from_state(entry)
        before = self._known.get(key, known)
        begun, result = known.begun or before.begun, known.result or before.result
        self._keep(key, Known(known.wall, begun, result, _made_at(known, now)))

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
            file.write(json.dumps(RESULTS.dump({}, self.version)).encode("ascii") + b"\n")
            for key, known in self._known.items():
                file.write(self._line(to_state(key, known)))
        os.rename(draft, self._path)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        self._lines = len(self._known)

    def _line(self, entry: State) -> bytes:
        return json.dumps(RESULTS.written(entry, self.version)).encode("ascii") + b"\n"

    def _give_up_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def to_state(key: str, known: Known) -> State:
    """As stored, in one line."""
    entry: State = {"t": known.wall, "key": key}
    if known.monotonic is not None:
        entry["m"] = known.monotonic
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
    made_at = float(entry["m"]) if "m" in entry else None
    return str(entry["key"]), Known(float(entry["t"]), begun, result, made_at)


def _made_at(known: Known, now: Now) -> float:
    """On the clock of this boot; an entry of an earlier boot may come out younger than it is, never older."""
    if known.monotonic is not None and known.monotonic <= now.monotonic:
        return known.monotonic
    return now.monotonic - max(0.0, now.wall - known.wall)


def version_of(path: str) -> object:
    """What the first line tells."""
    with contextlib.suppress(OSError, *DAMAGE), open_ours(path, MAX_FILE_BYTES) as file:
        return json.loads(file.readline())[RESULTS.key]
    return None


def entries(path: str) -> Iterator[State]:
    """The facts of a file, as the newest format has them; torn lines are passed over.

    Raises: UnknownVersion.
    """
    version: int | None = None
    with contextlib.suppress(FileNotFoundError), open_ours(path, MAX_FILE_BYTES) as file:
        for line in file:
            with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError, RecursionError):
                entry = json.loads(line)
                if not isinstance(entry, dict):
                    continue
                if RESULTS.key in entry:
                    version = RESULTS.check(entry[RESULTS.key])
                elif version is not None:
                    yield RESULTS.newest(entry, version)
