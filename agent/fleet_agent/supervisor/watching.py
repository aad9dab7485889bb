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
from fleet_agent.supervisor.sessions import Session

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
        """Start a stream: what was missed since `after`, or a snapshot, then every change."""
        session.begin_stream(number, lambda: self._end(session, number))
        if after is None:
            self._send_snapshot(session, number)
        else:
            self._send_missed(session, number, after)
        self._streams[session, number] = True

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

    def _send_missed(self, session: Session, number: int, after: Any) -> None:
        if not isinstance(after, dict) or not isinstance(after.get("sequence"), int):
            raise BadRequest("BAD_POSITION", f"`after` is {str(after)[:120]}; a position is expected")
        changes = None
        if after.get("agent_id") != self._agent_id:
            reason = f"the position belongs to another agent than {self._agent_id}"
        elif after.get("incarnation") != self._journal.incarnation:
            reason = "numbering has begun anew since then"
        else:
            reason = f"the changes after {after['sequence']} are no longer all kept"
            changes = self._journal.since(after["sequence"])
        if changes is None:
            session.item(number, {"gap": {"asked": after, "reason": reason}})
            self._send_snapshot(session, number)
            return
        for change in changes:
            if change.id in self._roster:
                session.item(number, self._event(change, self._roster[change.id].spec))

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
