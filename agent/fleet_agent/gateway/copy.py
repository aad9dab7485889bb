"""The gateway's copy of the status: the last row of every process, and the recent changes.

Pure: fed by `feed`, read by `service` and `watch`. Messages are kept, not rows, so that answering costs
no conversion; the uptime of a running process is brought up to date when it is read. Times are seconds,
`now` is the monotonic clock.
"""

from collections import deque
from collections.abc import Iterable

from fleet_api.rows import EventRow, PositionRow, ProcessRow, aged_description
from fleet_api.v1 import types_pb2
from fleet_api.wire import NANOS, event_to_proto, process_to_proto

RECENT_EVENTS = 10_000

Name = tuple[str, str]
"""Group and name of a process."""


class Copy:
    """All that the supervisor has told. Empty, and not `is_filled`, until the first snapshot."""

    def __init__(self, recent_events: int = RECENT_EVENTS) -> None:
        self._processes: dict[Name, types_pb2.Process] = {}
        self._started: dict[Name, float] = {}
        self._position = PositionRow(agent_id="", incarnation="", sequence=0)
        self._recent: deque[tuple[int, bytes]] = deque(maxlen=recent_events)
        self._recent_after = 0
        self.is_filled = False

    @property
    def position(self) -> PositionRow:
        """The last change contained."""
        return self._position.copy()

    @property
    def sequence(self) -> int:
        """Number of the last change contained."""
        return self._position["sequence"]

    @property
    def incarnation(self) -> str:
        """What the sequence belongs to."""
        return self._position["incarnation"]

    def replace(self, rows: Iterable[ProcessRow], position: PositionRow, now: float) -> None:
        """Take a whole snapshot; what came before is forgotten."""
        self._processes.clear()
        self._started.clear()
        for row in rows:
            self._put(row, now)
        self._position = PositionRow(
            agent_id=position["agent_id"],
            incarnation=position["incarnation"],
            sequence=position["sequence"],
        )
        self._recent.clear()
        self._recent_after = position["sequence"]
        self.is_filled = True

    def apply(self, event: EventRow, now: float) -> types_pb2.ProcessEvent | None:
        """Take one change; gives its message, or None when the copy holds it already."""
        if event["sequence"] <= self.sequence:
            return None
        row = event["process"]
        if event["removed"]:
            name = (row["group"], row["name"])
            self._processes.pop(name, None)
            self._started.pop(name, None)
        else:
            self._put(row, now)
        message = event_to_proto(event)
        if self._recent.maxlen and len(self._recent) == self._recent.maxlen:
            self._recent_after = self._recent[0][0]
        self._recent.append((event["sequence"], message.SerializeToString()))
        self._position["sequence"] = event["sequence"]
        return message

    def names(self) -> Iterable[Name]:
        """Group and name of every process, in the order of the snapshot."""
        return self._processes.keys()

    def processes(self, names: Iterable[Name], now: float) -> list[types_pb2.Process]:
        """These processes, uptimes as of `now`. The messages stay the copy's: only read them."""
        found = []
        for name in names:
            message = self._processes.get(name)
            if message is None:
                continue
            started = self._started.get(name)
            if started is not None:
                _age(message, max(0.0, now - started))
            found.append(message)
        return found

    def all_processes(self, now: float) -> list[types_pb2.Process]:
        """Every process, as `processes` gives them."""
        return self.processes(self._processes, now)

    def events_after(self, sequence: int) -> list[types_pb2.ProcessEvent] | None:
        """The changes after `sequence`, or None when some of them are no longer here."""
        if sequence < self._recent_after:
            return None
        return [types_pb2.ProcessEvent.FromString(data) for number, data in self._recent if number > sequence]

    def _put(self, row: ProcessRow, now: float) -> None:
        name = (row["group"], row["name"])
        self._processes[name] = process_to_proto(row)
        if row["uptime"] is None:
            self._started.pop(name, None)
        else:
            self._started[name] = now - row["uptime"]


def _age(message: types_pb2.Process, uptime: float) -> None:
    message.uptime.seconds = int(uptime)
    message.uptime.nanos = int((uptime % 1) * NANOS)
    if message.state == types_pb2.Process.RUNNING:
        message.description = aged_description(message.description, message.pid, uptime)
