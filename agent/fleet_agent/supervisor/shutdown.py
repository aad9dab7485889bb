"""Stopping everything in order: wave after wave, each only when the one before is down.

Begun by the agent, once; nothing is started or restarted from then on.
"""

from collections.abc import Callable

from fleet_api.rows import display_name

from fleet_agent.core import events
from fleet_agent.core.model import Autorestart, ProcessSpec, State
from fleet_agent.core.ordering import stop_waves
from fleet_agent.core.verbs import has_something_to_stop
from fleet_agent.supervisor.journal import Change
from fleet_agent.supervisor.loop import Alarm, Loop
from fleet_agent.supervisor.roster import Roster

REPORT_SECONDS = 3.0
MAX_NAMES = 20

_WAITING_STATES = frozenset({State.BACKOFF, State.EXITED, State.STOPPING})
"""States in which nothing is to be signalled, and which a start may follow without a further request."""


class Shutdown:
    """One ordered stop of all groups; begun once, it cannot be taken back."""

    def __init__(
        self,
        loop: Loop,
        roster: Roster,
        reason: str,
        report: Callable[[str], None],
        on_done: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._roster = roster
        self._reason = reason
        self._report = report
        self._on_done = on_done
        self._waves = list(stop_waves(roster.groups.values()))
        self._waiting: set[str] = set()
        self._is_done = False
        self._alarm: Alarm = loop.after(REPORT_SECONDS, self._remind)
        self._end_restarts()
        roster.watchers.append(self._on_change)
        self._go_on()

    def _end_restarts(self) -> None:
        """Whatever ends from now on stays ended, also before it is its turn."""
        for member in tuple(self._roster.members()):
            once = member.spec._replace(autorestart=Autorestart.NEVER, startretries=-1)
            self._roster.replace_spec(once)
            if member.process.state in _WAITING_STATES:
                self._roster.apply(once.id, events.StopAsked(self._reason))

    def _go_on(self) -> None:
        """Stop the next wave that is not down; all done when there is none."""
        if self._is_done:
            return
        while self._waves and not self._waiting:
            for spec in self._waves.pop(0):
                self._stop(spec.id)
        if not self._waiting:
            self._is_done = True
            self._alarm.cancel()
            self._roster.watchers.remove(self._on_change)
            self._on_done()

    def _stop(self, id_: str) -> None:
        if id_ not in self._roster:
            return
        has_left = self._roster.has_left(id_)
        if has_left or has_something_to_stop(self._roster[id_].process):
            self._waiting.add(id_)
            process = self._roster.apply(id_, events.StopAsked(self._reason, has_left))
            if not has_something_to_stop(process):
                self._waiting.discard(id_)

    def _on_change(self, change: Change, spec: ProcessSpec) -> None:
        if change.id in self._waiting and not has_something_to_stop(change.process):
            self._waiting.discard(change.id)
            if not self._waiting:
                self._loop.soon(self._go_on)

    def _remind(self) -> None:
        names = sorted(
            display_name(spec.group, spec.name) for spec in (self._roster[id_].spec for id_ in self._waiting)
        )
        more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
        self._report(f"waiting for {', '.join(names[:MAX_NAMES])}{more} to die")
        self._alarm = self._loop.after(REPORT_SECONDS, self._remind)
