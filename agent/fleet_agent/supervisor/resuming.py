"""The beginning of a supervisor: the roster as configuration, journal and children tell it.

Called by `agent`, once; what it does not know an earlier supervisor has done, it does.
"""

from collections.abc import Iterable

from fleet_agent.core.events import StartAsked
from fleet_agent.core.model import GroupSpec, Now
from fleet_agent.core.verbs import may_autostart
from fleet_agent.supervisor.children import Children, Found
from fleet_agent.supervisor.desires import Desires
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
    desires: Desires,
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
    for member in tuple(roster.members()):
        # What an operator wanted may have been written down by one who could not do it any more.
        desire = desires.get(member.spec.id)
        roster.ask(
            member.spec.id, (), desire, f"not started: {desire.words()}" if desire else "started again"
        )


def autostart(roster: Roster) -> None:
    """Start what is to start with the agent, has never changed, and is not stopped or disabled for good."""
    for member in tuple(roster.members()):
        if may_autostart(member.spec, member.process):
            roster.apply(member.spec.id, StartAsked("autostart"))
