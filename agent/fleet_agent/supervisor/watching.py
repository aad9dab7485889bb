"""Watchers: who gets every change, after a snapshot or after the changes they missed."""

from collections.abc import Callable
from typing import Any

from fleet_api.errors import BadRequest
from fleet_api.frames import Frame
from fleet_api.rows import PositionRow

from fleet_agent.core.model import Now, ProcessSpec
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.rows import to_row
from fleet_agent.supervisor.sessions import Session, shown, text

ROWS_PER_ITEM = 500


class Watching:
    """Owns the watch streams of all sessions."""

    def __init__(self, roster: Roster, journal: Journal, agent_id: str, clock: Callable[[], Now]) -> None:
        self._roster = roster
        self._journal = journal
        self._agent_id = agent_id
        self._clock = clock
        self._streams: dict[tuple[Session, int], bool] = {}
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
        self._streams[session, number] = True
        if asked is None:
            self._send_snapshot(session, number)
        else:
            self._send_missed(session, number, asked)

    def _end(self, session: Session, number: int) -> None:
        self._streams.pop((session, number), None)

    def _send_snapshot(self, session: Session, number: int) -> None:
        now = self._clock()
        rows = [to_row(member.spec, member.process, now) for member in self._roster.members()]
        position = self.position()
        for start in range(0, max(1, len(rows)), ROWS_PER_ITEM):
            part = rows[start : start + ROWS_PER_ITEM]
            is_last = start + ROWS_PER_ITEM >= len(rows)
            session.item(number, {"snapshot": part, "position": position, "last": is_last})

    def _send_missed(self, session: Session, number: int, asked: PositionRow) -> None:
        changes = None
        if asked["agent_id"] != self._agent_id:
            reason = f"the position belongs to another agent than {self._agent_id}"
        elif asked["incarnation"] != self._journal.incarnation:
            reason = "numbering has begun anew since then"
        else:
            reason = f"the changes after {asked['sequence']} are no longer all kept"
            changes = self._journal.since(asked["sequence"])
        if changes is None:
            session.item(number, {"gap": {"asked": asked, "reason": reason}})
            self._send_snapshot(session, number)
            return
        for change in changes:
            spec = self._roster[change.id].spec if change.id in self._roster else _spec_of(change.id)
            session.item(number, self._event(change, spec))

    def _on_change(self, change: Change, spec: ProcessSpec) -> None:
        if self._streams:
            item = self._event(change, spec)
            for session, number in tuple(self._streams):
                session.item(number, item)

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
