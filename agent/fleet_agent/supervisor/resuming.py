"""The beginning of a supervisor: the roster as configuration, journal and children tell it.

Called by `agent`, once; what it does not know an earlier supervisor has done, it does.
"""

from collections.abc import Iterable

from fleet_agent.core.desires import Desire
from fleet_agent.core.events import StartAsked
from fleet_agent.core.model import GroupSpec, Now, Process
from fleet_agent.core.verbs import may_autostart
from fleet_agent.supervisor.children import Children, Found
from fleet_agent.supervisor.desires import Desires
from fleet_agent.supervisor.journal import Journal
from fleet_agent.supervisor.journal_file import Restored
from fleet_agent.supervisor.roster import Roster

UNKNOWN_PAST = "the agent had no journal: it was its first start, or the host went down while it ran"


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

    `restored` is None where nothing is known of what went before.
    """
    lives_on = restored is not None and restored.lives_on
    earlier = restored.processes if restored is not None else {}
    for group in groups:
        known = {
            spec.id: _known(earlier.get(spec.id), lives_on, desires.get(spec.id)) for spec in group.processes
        }
        roster.add(group, known)
    if restored is None or restored.loss:
        began = restored.loss if restored is not None else journal.unreadable or UNKNOWN_PAST
        journal.begin(new_incarnation, 0, roster.states(), began)
    else:
        news = roster.news(earlier, restored.sequence, _why_otherwise(restored))
        journal.begin(restored.incarnation, restored.sequence, earlier, restored.began, news)
    children.take_over(found, now, goes_on=lives_on)


def _known(earlier: Process | None, lives_on: bool, desire: Desire | None) -> Process:
    """What is known of a process when a supervisor begins."""
    if earlier is not None and lives_on:
        return earlier._replace(desire=desire)
    reason = f"not started: {desire.words()}" if desire else ""
    # The number of a run is never used again.
    return Process(run=earlier.run if earlier is not None else 0, desire=desire, reason=reason)


def _why_otherwise(restored: Restored) -> str:
    if restored.lives_on:
        return "the configuration is another"
    return "the agent was started" if restored.is_this_boot else "the host was booted"


def autostart(roster: Roster) -> None:
    """Start what is to start with the agent, has never changed, and is not stopped or disabled for good."""
    for member in tuple(roster.members()):
        if may_autostart(member.spec, member.process):
            roster.apply(member.spec.id, StartAsked("autostart"))
