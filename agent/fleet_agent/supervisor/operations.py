"""Operators' changes: a verb on any number of processes, answered once.

Every process of an operation ends in one outcome with a reason. An operation with an idempotency key
that is known answers with its first result; one that was begun by an earlier supervisor is waited for,
not begun again.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from fleet_api.errors import Conflict, FleetError, NotFound
from fleet_api.rows import PositionRow, ProcessRow, display_name

from fleet_agent.core import events, verbs
from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.core.model import SIGNALLABLE_STATES, Now, Process, ProcessSpec, State
from fleet_agent.core.verbs import STOPPING, WISHING, Result, Verb, Verdict, desire_after
from fleet_agent.supervisor.desires import Desires, Wishes
from fleet_agent.supervisor.journal import Change
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.rows import to_row

MAX_SHOWN_IDS = 3

_GONE = Verdict(Result.FAILED, "left the configuration", "ABNORMAL_TERMINATION")

Reply = Callable[[dict[str, Any]], None]


class Request(NamedTuple):
    """One operation as it was asked for; `ids` are the processes it means, in order of action."""

    operation_id: str
    key: str
    actor: str
    reason: str
    verb: Verb
    signal: int
    wait: bool
    ids: tuple[str, ...]
    errors: tuple[FleetError, ...]
    now: bool = False

    def words(self) -> str:
        """Who asked for what, as the log tells it."""
        why = f": {self.reason}" if self.reason else ""
        return f"{self.verb} asked by {self.actor}{why}"


class _Operation:
    __slots__ = ("before", "is_done", "outcomes", "problem", "replies", "request", "stopped", "waiting")

    def __init__(self, request: Request, reply: Reply) -> None:
        self.request = request
        self.replies = [reply]
        self.waiting: dict[str, int] = {}
        self.stopped: set[str] = set()
        self.outcomes: dict[str, dict[str, Any]] = {}
        self.is_done = False
        # What was wanted for good before, and why what is wanted now could not be written down.
        self.before: dict[str, Desire | None] = {}
        self.problem = ""


class Operations:
    """Owns the operations that are under way."""

    def __init__(
        self,
        roster: Roster,
        results: Results,
        desires: Desires,
        clock: Callable[[], Now],
        position: Callable[[], PositionRow],
        refuse_changes: Callable[[], str],
    ) -> None:
        self._roster = roster
        self._results = results
        self._desires = desires
        self._clock = clock
        self._position = position
        self._refuse_changes = refuse_changes
        self._by_key: dict[str, _Operation] = {}
        self._waiting: dict[str, list[_Operation]] = {}
        roster.watchers.append(self._on_change)

    def submit(self, request: Request, reply: Reply) -> None:
        """Carry out a request, or join the one with the same key; `reply` gets the result, once.

        Raises: Conflict when the key belongs to another operation.
        """
        begun = self._results.begun(request.key) if request.key else None
        if begun is not None:
            _refuse_reuse(request, begun)
            result = self._results.result(request.key)
            if result is not None:
                reply(self._replay(result))
                return
            if request.key in self._by_key:
                self._by_key[request.key].replies.append(reply)
                return
        operation = _Operation(request, reply)
        if request.key:
            self._by_key[request.key] = operation
        runs = begun["runs"] if begun is not None else self._note_begun(operation)

        def go_on() -> None:
            (self._resume if begun is not None else self._begin)(operation, runs)
            self._finish_if_done(operation)

        # What is wanted for good is on the disk before anything is done.
        self._wish(operation, go_on)

    def result(self, key: str) -> dict[str, Any]:
        """What became of the operation with this key.

        Raises: NotFound when no such operation ended here.
        """
        result = self._results.result(key)
        if result is None:
            raise NotFound(
                "OPERATION_NOT_FOUND",
                f"no operation with key {key!r} has ended here",
                "it was never carried out, is still under way, or is older than a day",
            )
        return self._replay(result)

    def abandon(self, reply: Reply) -> None:
        """The asker is gone; the operation goes on, its result is kept by its key."""
        for operation in {id(op): op for ops in self._waiting.values() for op in ops}.values():
            if reply in operation.replies:
                operation.replies.remove(reply)

    def _replay(self, result: dict[str, Any]) -> dict[str, Any]:
        outcomes = [
            {**outcome, "process": self._row(f"{outcome['group']}:{outcome['name']}")}
            for outcome in result["outcomes"]
        ]
        return {**result, "outcomes": outcomes, "replayed": True}

    def _note_begun(self, operation: _Operation) -> dict[str, int]:
        request = operation.request
        runs = {id_: self._roster[id_].process.run for id_ in request.ids}
        if request.key:
            begun = {"id": request.operation_id, "verb": request.verb.value, "runs": runs}
            self._results.note_begun(request.key, begun, self._clock())
        return runs

    def _wish(self, operation: _Operation, go_on: Callable[[], None]) -> None:
        """Note what the operator wants for good, then go on."""
        request = operation.request
        new = Desire(
            DesireKind.STOPPED, request.actor, request.reason, self._clock().wall, request.operation_id
        )

        def decide(wishes: Wishes) -> dict[str, Desire | None]:
            operation.before = {id_: wishes.get(id_) for id_ in request.ids}
            return {id_: desire_after(request.verb, wish, new) for id_, wish in operation.before.items()}

        def done(problem: str) -> None:
            operation.problem = problem
            go_on()

        # A start or a stop that is needed now does not depend on a disk.
        self._desires.change(decide, request.verb not in WISHING, done)

    def _begin(self, operation: _Operation, runs: dict[str, int]) -> None:
        for id_ in operation.request.ids:
            self._hold_and_judge(operation, id_, runs[id_], self._act(operation, id_))

    def _resume(self, operation: _Operation, runs: dict[str, int]) -> None:
        """Go on with what an earlier supervisor began: do what it did not get done, once."""
        request = operation.request
        for id_ in request.ids:
            if id_ not in self._roster:
                self._hold_and_judge(operation, id_, 0, self._act(operation, id_))
                continue
            before = operation.before[id_]
            if before is not None and before.operation_id == request.operation_id:
                # What the earlier supervisor wrote is not what it found.
                operation.before[id_] = None
            process = self._roster[id_].process
            run_before = runs.get(id_, process.run)
            verdict = None
            if request.verb is Verb.SIGNAL:
                verdict = Verdict(Result.FAILED, "whether it was signalled is not known", "OUTCOME_UNKNOWN")
            elif request.verb in WISHING or not verbs.has_begun(request.verb, process, run_before):
                verdict = self._act(operation, id_)
            elif request.verb is Verb.RESTART and process.state is State.STOPPING:
                operation.stopped.add(id_)
                self._roster.apply(id_, events.StartAsked(request.words()))
            if verdict is None and not request.wait:
                verdict = _asked(request)
            self._hold_and_judge(operation, id_, run_before, verdict)

    def _hold_and_judge(
        self, operation: _Operation, id_: str, run_before: int, verdict: Verdict | None
    ) -> None:
        operation.waiting[id_] = run_before
        self._waiting.setdefault(id_, []).append(operation)
        if verdict is not None:
            self._settle(operation, id_, verdict)
        else:
            self._judge(operation, id_, self._roster[id_].process)

    def _act(self, operation: _Operation, id_: str) -> Verdict | None:
        request = operation.request
        # It may have taken a while to write down what is wanted.
        if id_ not in self._roster:
            return _GONE
        refusal = self._refuse_changes()
        if refusal:
            return Verdict(Result.REFUSED, refusal, "SHUTTING_DOWN")
        process = self._roster[id_].process
        if request.verb is Verb.SIGNAL:
            if process.state not in SIGNALLABLE_STATES or not process.pid:
                return Verdict(Result.FAILED, "not running", "NOT_RUNNING")
            self._roster.apply(id_, events.SignalAsked(request.signal))
            return Verdict(Result.OK, "signalled")
        if operation.problem and request.verb in WISHING:
            return Verdict(Result.FAILED, operation.problem, "DESIRE_NOT_KEPT")
        before = operation.before[id_]
        has_left = self._roster.has_left(id_)
        beginning = verbs.begin(request.verb, process, now=request.now, before=before, has_left=has_left)
        asked: list[events.Event] = []
        if beginning.stop:
            operation.stopped.add(id_)
            asked.append(events.StopAsked(request.words(), has_left))
        if beginning.start:
            asked.append(events.StartAsked(request.words()))
        # All or nothing: a restart that is cut short must not be a stop.
        self._roster.ask(id_, asked, self._desires.get(id_), request.words())
        if beginning.verdict is not None:
            return beginning.verdict
        return None if request.wait else _asked(request)

    def _on_change(self, change: Change, spec: ProcessSpec) -> None:
        for operation in tuple(self._waiting.get(change.id, ())):
            if change.removed:
                self._settle(operation, change.id, _GONE)
            else:
                # Not the change's own process: one event may pass through several states.
                self._judge(operation, change.id, self._roster[change.id].process)
            self._finish_if_done(operation)

    def _judge(self, operation: _Operation, id_: str, process: Process) -> None:
        run_before = operation.waiting.get(id_)
        if run_before is None:
            return
        verdict = verbs.judge(operation.request.verb, process, run_before, id_ in operation.stopped)
        if verdict is not None:
            self._settle(operation, id_, verdict)

    def _settle(self, operation: _Operation, id_: str, verdict: Verdict) -> None:
        if operation.waiting.pop(id_, None) is None:
            return
        waiting = self._waiting[id_]
        waiting.remove(operation)
        if not waiting:
            del self._waiting[id_]
        group, _, name = id_.partition(":")
        error = None
        if verdict.code and verdict.result is not Result.OK:
            hint = f"fleetctl enable {display_name(group, name)}" if verdict.code == "DISABLED" else ""
            error = {"class": "Conflict", "code": verdict.code, "message": verdict.reason, "hint": hint}
        elif operation.problem:
            words = f"done, but a restart of the agent will not know: {operation.problem}"
            error = {"class": "Unavailable", "code": "DESIRE_NOT_KEPT", "message": words, "hint": ""}
        operation.outcomes[id_] = {
            "name": name,
            "group": group,
            "result": verdict.result.value,
            "reason": verdict.reason,
            "error": error,
            "process": self._row(id_),
        }

    def _row(self, id_: str) -> ProcessRow | None:
        return to_row(*self._roster[id_], self._clock()) if id_ in self._roster else None

    def _finish_if_done(self, operation: _Operation) -> None:
        request = operation.request
        if operation.is_done or len(operation.outcomes) < len(request.ids):
            return
        operation.is_done = True
        result = {
            "operation_id": request.operation_id,
            "outcomes": [operation.outcomes[id_] for id_ in request.ids],
            "errors": [error.to_wire() for error in request.errors],
            "position": self._position(),
            "replayed": False,
        }
        if request.key:
            self._by_key.pop(request.key, None)
            self._results.note_result(request.key, _without_rows(result), self._clock())
        for reply in operation.replies:
            reply(result)

    def order(self, verb: Verb, ids: Iterable[str]) -> tuple[str, ...]:
        """The ids in the order in which a verb acts on them: starts ascending, stops descending."""
        ordered = [member.spec.id for member in self._roster.members()]
        wanted = set(ids)
        chosen = [id_ for id_ in ordered if id_ in wanted]
        if verb in STOPPING:
            chosen.reverse()
        return tuple(chosen)


def _asked(request: Request) -> Verdict:
    return Verdict(Result.OK, f"{request.verb} asked")


def _refuse_reuse(request: Request, begun: dict[str, Any]) -> None:
    if begun["verb"] != request.verb or set(begun["runs"]) != set(request.ids):
        raise Conflict(
            "KEY_REUSED",
            f"the key {request.key!r} belongs to a {begun['verb']} of {_names(begun['runs'])}, "
            f"not to this {request.verb} of {_names(request.ids)}",
            "make a new key for each operation",
        )


def _names(ids: Iterable[str]) -> str:
    shown = sorted(ids)
    more = f" and {len(shown) - MAX_SHOWN_IDS} more" if len(shown) > MAX_SHOWN_IDS else ""
    return ", ".join(shown[:MAX_SHOWN_IDS]) + more if shown else "nothing"


def _without_rows(result: dict[str, Any]) -> dict[str, Any]:
    """A result as it is kept: the rows are looked up anew when it is told again."""
    outcomes = [
        {key: value for key, value in outcome.items() if key != "process"} for outcome in result["outcomes"]
    ]
    return {**result, "outcomes": outcomes}
