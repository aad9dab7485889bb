"""Every process the agent knows, and the one place where a fact or a request changes one.

A change is decided by `core.machine`, numbered, journalled, then acted on and told to whoever watches.
In that order: what was acted on can always be found again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from fleet_agent.core import events, machine
from fleet_agent.core.desires import Desire
from fleet_agent.core.model import GroupSpec, Now, Process, ProcessSpec, Timer
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.loop import Alarm, Loop


class Member(NamedTuple):
    """What is wanted of a process beside what is known of it."""

    spec: ProcessSpec
    process: Process


class Roster:
    """Owns the state of all processes."""

    def __init__(
        self,
        loop: Loop,
        journal: Journal,
        clock: Callable[[], Now],
        act: Callable[[ProcessSpec, Process, events.Effect], None],
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._clock = clock
        self._act = act
        self._members: dict[str, Member] = {}
        self._alarms: dict[str, tuple[Timer, Alarm]] = {}
        self.is_populated: Callable[[str], bool] = lambda _: False
        """Whether anybody is known to live in the tree of a process."""
        self.groups: dict[str, GroupSpec] = {}
        self.watchers: list[Callable[[Change, ProcessSpec], None]] = []

    def __contains__(self, id_: str) -> bool:
        return id_ in self._members

    def __getitem__(self, id_: str) -> Member:
        return self._members[id_]

    def has_left(self, id_: str) -> bool:
        """Whether there is somebody whom a stop is to end, should the process itself not live."""
        return self._members[id_].spec.stoptree and self.is_populated(id_)

    def members(self) -> Iterable[Member]:
        """All processes, in their order of start."""
        return self._members.values()

    def states(self) -> dict[str, Process]:
        """What is known of every process."""
        return {id_: member.process for id_, member in self._members.items()}

    def add(self, group: GroupSpec, known: dict[str, Process]) -> None:
        """Take in a group; a process found in `known` goes on from there."""
        self.groups[group.name] = group
        for spec in group.processes:
            process = known.get(spec.id)
            self._members[spec.id] = Member(spec, process if process is not None else Process())

    def replace_spec(self, spec: ProcessSpec) -> None:
        """Change what is wanted of a process without touching its life."""
        self._members[spec.id] = Member(spec, self._members[spec.id].process)

    def remove(self, id_: str, reason: str) -> None:
        """Forget a process that has ended."""
        spec, process = self._members.pop(id_)
        self._disarm(id_)
        change = Change(
            self._journal.sequence + 1,
            self._clock().wall,
            id_,
            process.state.value,
            reason,
            process,
            removed=True,
        )
        self._journal.append([change], self.states)
        self._tell([change], spec)

    def news(self, told: Mapping[str, Process], sequence: int, reason: str) -> list[Change]:
        """Whatever is otherwise than was told last, numbered after `sequence`: whoever resumes must hear."""
        wall = self._clock().wall
        changes: list[Change] = []
        for id_, process in told.items():
            if id_ not in self._members:
                sequence += 1
                gone = "it left the configuration"
                changes.append(Change(sequence, wall, id_, process.state.value, gone, process, removed=True))
        for id_, (_, process) in self._members.items():
            before = told.get(id_, Process())
            if process != before or id_ not in told:
                sequence += 1
                changes.append(Change(sequence, wall, id_, before.state.value, reason, process))
        return changes

    def apply(self, id_: str, event: events.Event, at: Now | None = None) -> Process:
        """Let an event happen to a process, now or at the time given; returns what is known of it then."""
        return self.apply_all(id_, (event,), at)

    def apply_if_known(self, id_: str, event: events.Event) -> None:
        """Let an event happen to a process that may have left the configuration."""
        if id_ in self._members:
            self.apply(id_, event)

    def apply_all(
        self,
        id_: str,
        several: Iterable[events.Event],
        at: Now | None = None,
    ) -> Process:
        """Let events happen as if they were one: whoever dies in the middle has done all or nothing."""
        spec, process = self._members[id_]
        now = at or self._clock()
        return self._commit(id_, _after_all(spec, process, several, now), now)

    def ask(self, id_: str, several: Iterable[events.Event], desire: Desire | None, words: str) -> Process:
        """Let happen what an operator asks for in these words, as one; `desire` holds for good then."""
        spec, process = self._members[id_]
        now = self._clock()
        wished = process._replace(desire=desire)
        return self._commit(id_, _after_all(spec, wished, several, now), now, words)

    def resume(self, id_: str, signalled: int | None, now: Now) -> Process:
        """Go on with a process of an earlier supervisor, its deadline included.

        `signalled`: how many signals the keeper has sent to its run; None when it does not hold it.
        """
        spec, before = self._members[id_]
        return self._commit(id_, machine.resume(spec, before, signalled, now), now)

    def adopt(self, id_: str, process: Process) -> None:
        """Take what is known of a process from its child, where the journal knows less."""
        self._commit(id_, events.Step(process), self._clock())

    def _commit(self, id_: str, step: events.Step, now: Now, words: str = "") -> Process:
        spec, before = self._members[id_]
        self._members[id_] = Member(spec, step.process)
        changes: list[Change] = []
        sequence = self._journal.sequence + 1
        for number, move in enumerate(step.moves, sequence):
            changes.append(Change(number, now.wall, id_, move.old.value, move.reason, move.process))
        if step.process != (step.moves[-1].process if step.moves else before):
            # No move, but a fact that a new supervisor must know: a pid, a signal sent, a wish.
            old = changes[-1].process.state if changes else before.state
            reason = words or step.process.reason
            changes.append(Change(sequence + len(changes), now.wall, id_, old.value, reason, step.process))
        if changes:
            self._journal.append(changes, self.states)
        self._arm(id_, step.process.timer)
        for effect in step.effects:
            self._act(spec, step.process, effect)
        self._tell(changes, spec)
        return step.process

    def leave(self) -> None:
        """Note that all is stopped in order; the next agent starts afresh."""
        self._journal.leave()

    def _arm(self, id_: str, timer: Timer | None) -> None:
        armed = self._alarms.get(id_)
        if armed is not None and armed[0] == timer:
            return
        self._disarm(id_)
        if timer is not None:
            kind = timer.kind

            def ring() -> None:
                self._alarms.pop(id_, None)
                self.apply(id_, events.TimerFired(kind))

            self._alarms[id_] = timer, self._loop.at(timer.due, ring)

    def _disarm(self, id_: str) -> None:
        armed = self._alarms.pop(id_, None)
        if armed is not None:
            armed[1].cancel()

    def _tell(self, changes: list[Change], spec: ProcessSpec) -> None:
        # Each watcher hears all of them before the next: an answer follows every change it caused.
        for watcher in tuple(self.watchers):
            for change in changes:
                watcher(change, spec)


def _after_all(spec: ProcessSpec, process: Process, several: Iterable[events.Event], now: Now) -> events.Step:
    whole = events.Step(process)
    for event in several:
        step = machine.transition(spec, whole.process, event, now)
        whole = events.Step(step.process, whole.effects + step.effects, whole.moves + step.moves)
    return whole
