"""Watchers: who gets every change, after a snapshot or after the changes they missed."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from fleet_api.errors import BadRequest
from fleet_api.frames import Frame
from fleet_api.rows import PositionRow

from fleet_agent.core.model import Now, ProcessSpec
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.rows import to_row
from fleet_agent.supervisor.sessions import Session, shown, text

ROWS_PER_ITEM = 500
CHANGES_A_TURN = 100
"""Of what was missed: who has missed thousands must not keep the loop from what happens."""
MAX_WAITING = 5_000
"""Changes that wait for a stream that is catching up."""


class _Stream:
    """One watch stream: the number of the last change that it was sent, and the missed ones that follow."""

    __slots__ = ("last", "missed", "number", "session", "waiting")

    def __init__(self, session: Session, number: int) -> None:
        self.session = session
        self.number = number
        self.last = 0
        self.missed: Iterator[Change] | None = None
        self.waiting: list[Change] = []


class Watching:
    """Owns the watch streams of all sessions."""

    def __init__(
        self,
        loop: Loop,
        roster: Roster,
        journal: Journal,
        agent_id: str,
        clock: Callable[[], Now],
    ) -> None:
        self._loop = loop
        self._roster = roster
        self._journal = journal
        self._agent_id = agent_id
        self._clock = clock
        self._streams: dict[tuple[Session, int], _Stream] = {}
        roster.watchers.append(self._on_change)

    def position(self) -> PositionRow:
        """The last change, as this agent numbers them."""
        return {
            "agent_id": self._agent_id,
            "incarnation": self._journal.incarnation,
            "sequence": self._journal.sequence,
        }

    def begin(self, session: Session, number: int, after: Any) -> None:
        """Start a stream: what was missed since `after`, or a snapshot, then every change.

        Raises: BadRequest when `after` is neither a position nor None.
        """
        asked = None if after is None else _position(after)
        session.begin_stream(number, lambda: self._end(session, number))
        stream = self._streams[session, number] = _Stream(session, number)
        if asked is None:
            self._send_snapshot(stream)
            return
        reason = self._why_not_resumable(asked)
        if reason:
            self._send_gap(stream, asked, reason)
            return
        stream.last = asked["sequence"]
        stream.missed = self._journal.since(stream.last)
        self._catch_up(stream)

    def _end(self, session: Session, number: int) -> None:
        self._streams.pop((session, number), None)

    def _why_not_resumable(self, asked: PositionRow) -> str:
        if asked["agent_id"] != self._agent_id:
            return f"the position belongs to another agent than {self._agent_id}"
        if asked["incarnation"] != self._journal.incarnation:
            why = f": {self._journal.began}" if self._journal.began else ""
            return f"numbering has begun anew since then{why}"
        if asked["sequence"] > self._journal.sequence:
            return f"the position is ahead of the agent, which stands at {self._journal.sequence}"
        return ""

    def _send_gap(self, stream: _Stream, asked: PositionRow, reason: str) -> None:
        """Tell that changes are missing, and how things are now."""
        stream.session.item(stream.number, {"gap": {"asked": asked, "reason": reason}})
        self._send_snapshot(stream)

    def _send_snapshot(self, stream: _Stream) -> None:
        stream.missed, stream.waiting = None, []
        now = self._clock()
        members = list(self._roster.members())
        position = self.position()
        for start in range(0, max(1, len(members)), ROWS_PER_ITEM):
            end = start + ROWS_PER_ITEM
            part = (to_row(member.spec, member.process, now) for member in members[start:end])
            item = {"snapshot": part, "position": position, "last": end >= len(members)}
            stream.session.item(stream.number, item)
        stream.last = position["sequence"]

    def _catch_up(self, stream: _Stream) -> None:
        """Send some of what was missed; then what has happened meanwhile, and the stream is up to date."""
        if self._streams.get((stream.session, stream.number)) is not stream:
            return
        part = list(itertools.islice(stream.missed or (), CHANGES_A_TURN))
        if all(self._send(stream, change) for change in part) and len(part) == CHANGES_A_TURN:
            # Not `soon`: whatever has happened has its turn first.
            self._loop.after(0.0, lambda: self._catch_up(stream))
            return
        waiting, stream.missed, stream.waiting = stream.waiting, None, []
        for change in waiting:
            self._send(stream, change)
        if stream.last != self._journal.sequence:
            asked: PositionRow = {**self.position(), "sequence": stream.last}
            self._send_gap(stream, asked, f"the changes after {stream.last} are no longer all kept")

    def _send(self, stream: _Stream, change: Change) -> bool:
        """Send the change that is next, pass over what was sent; False where a number is missing."""
        if change.sequence == stream.last + 1:
            spec = self._roster[change.id].spec if change.id in self._roster else _spec_of(change.id)
            stream.session.item(stream.number, self._event(change, spec))
            stream.last = change.sequence
        return change.sequence <= stream.last

    def _on_change(self, change: Change, spec: ProcessSpec) -> None:
        if not self._streams:
            return
        item = self._event(change, spec)
        for stream in tuple(self._streams.values()):
            if stream.missed is None:
                stream.last = change.sequence
                stream.session.item(stream.number, item)
            elif len(stream.waiting) < MAX_WAITING:
                stream.waiting.append(change)

    def _event(self, change: Change, spec: ProcessSpec) -> Frame:
        return {
            "event": {
                "sequence": change.sequence,
                "time": change.wall,
                "old_state": change.old,
                "reason": change.reason,
                "process": to_row(spec, change.process, self._clock()),
                "removed": change.removed,
            }
        }


def _position(value: Any) -> PositionRow:
    if not isinstance(value, dict) or type(value.get("sequence")) is not int:
        raise BadRequest("BAD_POSITION", f"`after` is {shown(value)}; a position is expected")
    return {
        "agent_id": text(value, "agent_id"),
        "incarnation": text(value, "incarnation"),
        "sequence": value["sequence"],
    }


def _spec_of(id_: str) -> ProcessSpec:
    """All that is known of a process that has left the configuration."""
    group, _, name = id_.partition(":")
    return ProcessSpec(name, group, "")
