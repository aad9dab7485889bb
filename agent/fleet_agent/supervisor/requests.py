"""What the door and the gateway may ask, verb by verb."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from fleet_api.errors import BadRequest, Conflict, Denied, FleetError, NotFound, Unavailable, from_wire
from fleet_api.frames import Frame
from fleet_api.rows import TroubleRow
from fleet_api.selection import Selection, select

from fleet_agent.config.values import to_signal
from fleet_agent.core.model import LogSpec, Now
from fleet_agent.core.verbs import Verb
from fleet_agent.supervisor.epochs import Epochs
from fleet_agent.supervisor.gateways import Gateways
from fleet_agent.supervisor.log_answers import LogAnswers
from fleet_agent.supervisor.logs.worker import LogWorker
from fleet_agent.supervisor.operations import Operations, Request
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.rows import to_row
from fleet_agent.supervisor.sessions import Session, flag, shown, text, texts
from fleet_agent.supervisor.stalls import Stalls
from fleet_agent.supervisor.trees import asking
from fleet_agent.supervisor.trees.trees import Trees
from fleet_agent.supervisor.troubles import Troubles
from fleet_agent.supervisor.upgrading import Upgrading
from fleet_agent.supervisor.watching import Watching

API_LEVEL = 2
FEATURES = ["operate", "watch", "read_log", "operation_by_key", "desires", "upgrade", "tree"]
STREAMS = ("stdout", "stderr")
MAX_WORD = 256
MAX_REASON = 1000


class Identity(NamedTuple):
    """What an agent says of itself."""

    version: str
    host_id: str
    keeper_pid: int
    identifier: str
    config_path: str
    started_wall: float


class Requests:
    """Answers requests, or hands them to the room that does."""

    def __init__(
        self,
        roster: Roster,
        operations: Operations,
        watching: Watching,
        logs: LogWorker,
        gateways: Gateways,
        clock: Callable[[], Now],
        identity: Identity,
        epochs: Epochs,
        troubles: Troubles,
        stalls: Stalls,
        trees: Trees,
        keeper_owes: Callable[[], float],
        upgrading: Upgrading,
        refuse_changes: Callable[[], str],
    ) -> None:
        self._roster = roster
        self._operations = operations
        self._watching = watching
        self._gateways = gateways
        self._clock = clock
        self._identity = identity
        self._epochs = epochs
        self._troubles = troubles
        self._stalls = stalls
        self._trees = trees
        self._keeper_owes = keeper_owes
        self._upgrading = upgrading
        self._refuse_changes = refuse_changes
        self._log_answers = LogAnswers(logs)
        self.on_log_result = self._log_answers.on_result
        self._verbs: dict[str, Callable[[Session, int, Frame], None]] = {
            "hello": self._hello,
            "status": self._status,
            "tree": self._tree,
            "operate": self._operate,
            "operation": self._operation,
            "watch": self._watch,
            "ping": self._ping,
            "open_log": self._open_log,
            "follow_log": self._follow_log,
            "configure": self._configure,
            "serving": self._serving,
            "upgrade": self._upgrade,
            "upgrade_result": self._upgrade_result,
            "attend": self._attend,
            "present": self._present,
        }

    def handle(self, session: Session, number: int, verb: str, arguments: Frame) -> None:
        """Answer one request.

        Raises: FleetError, which becomes the answer.
        """
        answer = self._verbs.get(verb)
        if answer is None:
            raise BadRequest(
                "UNKNOWN_REQUEST", f"there is no request {shown(verb)!r}", f"known: {', '.join(self._verbs)}"
            )
        answer(session, number, arguments)

    def _present_troubles(self) -> list[TroubleRow]:
        self._stalls.look()
        self._keeper_owes()
        self._gateways.look()
        return self._troubles.rows()

    def _hello(self, session: Session, number: int, arguments: Frame) -> None:
        identity = self._identity
        session.answer(
            number,
            {
                "version": identity.version,
                "api_level": API_LEVEL,
                "features": FEATURES,
                "host_id": identity.host_id,
                "pid": identity.keeper_pid,
                "supervisor_pid": os.getpid(),
                "gateway_pid": self._gateways.pid,
                "gateway_problem": self._gateways.problem,
                "identifier": identity.identifier,
                "start_time": identity.started_wall,
                "position": self._watching.position(),
                "config_path": identity.config_path,
                "grpc": self._gateways.address,
                "troubles": self._present_troubles(),
            },
        )

    def _status(self, session: Session, number: int, arguments: Frame) -> None:
        session.answer(number, self._status_of(self._select(texts(arguments, "terms"))))

    def _status_of(self, selection: Selection) -> dict[str, Any]:
        """What is known of the processes that are meant; the rows one by one, for there may be thousands."""
        now = self._clock()
        return {
            "position": self._watching.position(),
            "now": now.wall,
            "processes": (to_row(*self._roster[id_], now) for id_ in _ids(selection) if id_ in self._roster),
            "errors": [error.to_wire() for error in selection.unknown],
            "troubles": self._present_troubles(),
        }

    def _tree(self, session: Session, number: int, arguments: Frame) -> None:
        selection = self._select(texts(arguments, "terms"))
        asking.ask(session, number, self._trees, _ids(selection), lambda: self._status_of(selection))

    def _operate(self, session: Session, number: int, arguments: Frame) -> None:
        refusal = self._refuse_changes()
        if refusal:
            raise Conflict("SHUTTING_DOWN", refusal, "wait until the agent runs again")
        request = self._request(session, arguments)
        # Last: a change that is refused for another reason claims nothing.
        if self._awaits_epoch(session, number, arguments, self._operate):
            return

        def reply(result: dict[str, Any]) -> None:
            session.answer(number, result)

        session.begin_stream(number, lambda: self._operations.abandon(reply))
        self._operations.submit(request, reply)

    def _request(self, session: Session, arguments: Frame) -> Request:
        word = text(arguments, "verb")
        try:
            verb = Verb(word)
        except ValueError as error:
            raise BadRequest(
                "UNKNOWN_VERB", f"there is no verb {shown(word)!r}", f"known: {', '.join(Verb)}"
            ) from error
        terms = texts(arguments, "terms")
        if not terms:
            raise BadRequest("EMPTY_TARGET", f"{verb} names no process", "name processes, or `all`")
        signal_number = 0
        if verb is Verb.SIGNAL:
            signal_number = to_signal(text(arguments, "signal"))
        wait, at_once = flag(arguments, "wait", default=True), flag(arguments, "now", default=False)
        context = _context(arguments)
        operation_id, key = _line(context, "operation_id"), _line(context, "key")
        actor, reason = _actor(session, context), _line(context, "reason", MAX_REASON)
        selection = self._select(terms)
        return Request(
            operation_id=operation_id,
            key=key,
            actor=actor,
            reason=reason,
            verb=verb,
            signal=signal_number,
            wait=wait,
            ids=self._operations.order(verb, _ids(selection)),
            errors=tuple(selection.unknown),
            now=at_once,
        )

    def _awaits_epoch(
        self, session: Session, number: int, arguments: Frame, again: Callable[[Session, int, Frame], None]
    ) -> bool:
        """Whether the epoch of a change is yet to be kept: it is looked at `again`, as if it came then.

        Raises: Conflict or BadRequest when the epoch forbids it.
        """
        context = _context(arguments)
        fleet_id, epoch = _line(context, "fleet_id"), context.get("epoch", 0)
        if self._epochs.is_kept(fleet_id, epoch):
            return False
        is_wanted = True

        def cancel() -> None:
            nonlocal is_wanted
            is_wanted = False

        def kept(error: FleetError | None) -> None:
            if not is_wanted:
                return
            try:
                if error is not None:
                    raise error
                again(session, number, arguments)
            except FleetError as refusal:
                session.fail(number, refusal)

        session.begin_stream(number, cancel)
        self._epochs.keep(fleet_id, epoch, kept)
        return True

    def _operation(self, session: Session, number: int, arguments: Frame) -> None:
        session.answer(number, self._operations.result(_line(arguments, "key")))

    def _upgrade(self, session: Session, number: int, arguments: Frame) -> None:
        refusal = self._refuse_changes()
        if refusal:
            raise Conflict("SHUTTING_DOWN", refusal, "wait until the agent runs again")
        context = _context(arguments)
        id_, python, actor = _line(context, "key"), text(arguments, "python"), _actor(session, context)
        if not id_:
            raise BadRequest(
                "KEY_MISSING", "an upgrade needs an idempotency key, to be asked for by it later"
            )
        if self._awaits_epoch(session, number, arguments, self._upgrade):
            return

        def answer(outcome: dict[str, Any] | FleetError) -> None:
            if isinstance(outcome, FleetError):
                session.fail(number, outcome)
            else:
                session.answer(number, outcome)

        session.begin_stream(number, lambda: None)
        self._upgrading.begin(id_, python, actor, answer)

    def _upgrade_result(self, session: Session, number: int, arguments: Frame) -> None:
        session.answer(number, self._upgrading.result(_line(arguments, "key")))

    def _watch(self, session: Session, number: int, arguments: Frame) -> None:
        self._watching.begin(session, number, arguments.get("after"))

    def _ping(self, session: Session, number: int, arguments: Frame) -> None:
        position = self._watching.position()
        session.answer(
            number,
            {
                "monotonic": self._clock().monotonic,
                "sequence": position["sequence"],
                "keeper_owes": self._keeper_owes(),
                "troubles": self._present_troubles(),
            },
        )

    def _open_log(self, session: Session, number: int, arguments: Frame) -> None:
        self._ask_log(session, number, arguments, follow=False)

    def _follow_log(self, session: Session, number: int, arguments: Frame) -> None:
        self._ask_log(session, number, arguments, follow=True)

    def _ask_log(self, session: Session, number: int, arguments: Frame, follow: bool) -> None:
        stream = text(arguments, "stream", "stdout")
        if stream not in STREAMS:
            raise BadRequest("BAD_CHANNEL", f"bad channel {shown(stream)!r}", "stdout or stderr")
        id_, log = self._find_log(text(arguments, "process"), stream)
        stalled = self._stalls.look()
        if stalled:
            raise Unavailable(
                "LOG_DISK_STALLED", f"no log can be read now: the log disk {stalled}", "see to the disk"
            )
        self._log_answers.begin(session, number, id_, stream, log, follow)

    def _find_log(self, name: str, stream: str) -> tuple[str, LogSpec]:
        selection = self._select([name])
        ids = _ids(selection)
        if len(ids) != 1:
            if selection.unknown:
                raise selection.unknown[0]
            raise BadRequest(
                "NOT_ONE_PROCESS", f"{shown(name)!r} means {len(ids)} processes", "name exactly one"
            )
        spec = self._roster[ids[0]].spec
        log = spec.stdout if stream == "stdout" else spec.stderr
        if not log.path or (stream == "stderr" and spec.redirect_stderr):
            raise NotFound(
                "NO_LOG_FILE",
                f"{shown(name)}: no log file for {stream}",
                "see stdout_logfile and stderr_logfile",
            )
        return spec.id, log

    def _configure(self, session: Session, number: int, arguments: Frame) -> None:
        _check_gateway(session)
        identity = self._identity
        session.answer(number, self._gateways.configuration(identity.host_id, identity.identifier))

    def _serving(self, session: Session, number: int, arguments: Frame) -> None:
        _check_gateway(session)
        error = arguments.get("error")
        self._gateways.on_serving(from_wire(error) if isinstance(error, dict) else None)
        session.answer(number, {})

    def _attend(self, session: Session, number: int, arguments: Frame) -> None:
        _check_gateway(session)
        self._gateways.attend(session, number)

    def _present(self, session: Session, number: int, arguments: Frame) -> None:
        _check_gateway(session)
        call = arguments.get("call")
        if type(call) is not int:
            raise BadRequest("BAD_ARGUMENT", f"`call` is {shown(call)}; a number is expected")
        self._gateways.present(call)
        session.answer(number, {})

    def _select(self, terms: list[str]) -> Selection:
        names = ((member.spec.group, member.spec.name) for member in self._roster.members())
        return select(terms or ["all"], names)


def _check_gateway(session: Session) -> None:
    if not session.is_gateway:
        raise Denied("GATEWAY_ONLY", "only the gateway may ask for its configuration, or say that it serves")


def _ids(selection: Selection) -> list[str]:
    return [f"{group}:{name}" for group, name in selection.matched]


def _context(arguments: Frame) -> dict[str, Any]:
    context = arguments.get("context")
    if context is None:
        return {}
    if not isinstance(context, dict):
        raise BadRequest("BAD_ARGUMENT", f"`context` is {shown(context)}; an object is expected")
    return context


def _actor(session: Session, context: dict[str, Any]) -> str:
    # Only the gateway may speak for somebody else: it has checked a certificate.
    actor = _line(context, "actor")
    return (actor if session.is_gateway else "") or session.actor


def _line(arguments: Frame, key: str, longest: int = MAX_WORD) -> str:
    """A text that stands in logs and is kept: short, and one line.

    Raises: BadRequest when it is something else.
    """
    value = text(arguments, key)
    if len(value) > longest:
        raise BadRequest("BAD_ARGUMENT", f"`{key}` has {len(value)} characters; at most {longest} are taken")
    return "".join(letter if letter.isprintable() else " " for letter in value)
