"""The beginning of a supervisor: the roster as configuration, journal and children tell it.

Called by `agent`, once; what it does not know an earlier supervisor has done, it does.
"""

from collections.abc import Iterable

from fleet_agent.core.events import StartAsked
from fleet_agent.core.model import GroupSpec, Now
from fleet_agent.supervisor.children import Children, Found
from fleet_agent.supervisor.journal import Journal, Restored
from fleet_agent.supervisor.roster import Roster


def go_on(
    groups: Iterable[GroupSpec],
    roster: Roster,
    journal: Journal,
    children: Children,
    restored: Restored | None,
    found: list[Found],
    now: Now,
    new_incarnation: str,
) -> None:
    """Fill the roster and begin the journal; finish what was cut short.

    `restored` is None where nothing went before that counts.
    """
    known = restored.processes if restored else {}
    for group in groups:
        roster.add(group, known)
    states = roster.states()
    if restored is not None and known.keys() == states.keys():
        journal.begin(restored.incarnation, restored.sequence, states)
    else:
        # Who resumes from before would never hear of processes that came or went.
        journal.begin(new_incarnation, 0, states)
    children.take_over(found, now, goes_on=restored is not None)


def autostart(roster: Roster) -> None:
    """Start what is to start with the agent, and has never changed: an operator's stop counts."""
    for member in tuple(roster.members()):
        if member.spec.autostart and not member.process.changed_wall:
            roster.apply(member.spec.id, StartAsked("autostart"))
