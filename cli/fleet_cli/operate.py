"""The way of every change: whom it concerns, the question, the sending, the report."""

from collections.abc import Sequence

from fleet_api.errors import BadRequest, Unavailable
from fleet_api.rows import ErrorRow

from fleet_cli import exit_codes, report
from fleet_cli.answers import Bucket, Change, HostAnswer, HostRecord
from fleet_cli.options import Output, Sending, Target
from fleet_cli.report import Collected

_USAGES = {
    "start": ("start requires a process name", "fleetctl start PROGRAM... [-H HOSTS]"),
    "stop": ("stop requires a process name", "fleetctl stop PROGRAM... [-H HOSTS]"),
    "restart": ("restart requires a process name", "fleetctl restart PROGRAM... [-H HOSTS]"),
    "signal": (
        "signal requires a signal name and a process name",
        "fleetctl signal SIGNAL PROGRAM... [-H HOSTS]",
    ),
    "enable": ("enable requires a process name", "fleetctl enable PROGRAM... [-H HOSTS]"),
    "disable": ("disable requires a process name", "fleetctl disable PROGRAM... [-H HOSTS]"),
}
"""What is said, in supervisorctl's words, when a change does not name what it means."""


_INTERRUPTED = ErrorRow(
    code="INTERRUPTED", message="not waited for; it may have been done", hint="see fleetctl status"
)
_LOST = ErrorRow(
    code="ANSWER_LOST",
    message="the controller gave no answer for this host; it may have been done",
    hint="see fleetctl status",
)


def run(
    target: Target,
    verb: str,
    terms: Sequence[str] | None,
    output: Output,
    sending: Sending,
    *,
    signal: str = "",
    no_wait: bool = False,
    now: bool = False,
) -> int:
    """Carry out one change; returns the exit code.

    Raises: BadRequest when no term is given: "all" must be written.
    """
    if not terms:
        raise BadRequest("USAGE", *_USAGES[verb])
    if verb == "signal" and not _is_signal(signal):
        raise BadRequest("BAD_SIGNAL", f"{signal!r} is no signal", "such as HUP, SIGHUP or 1")
    invocation = target.invocation
    change = Change(
        verb=verb,
        terms=tuple(terms),
        operation_id=invocation.new_id(),
        key=invocation.new_id(),
        actor=invocation.user,
        signal=signal,
        reason=sending.reason,
        wait=not no_wait,
        fanout=sending.fanout,
        timeout_seconds=target.timeout,
        now=now,
    )
    if not target.is_remote:
        return report.change(invocation, output, change, _local(target, change), is_local=True)
    return _remote(target, change, output, yes=sending.yes)


def _is_signal(text: str) -> bool:
    """Whether agents may know this signal; which numbers they have is theirs to say."""
    from signal import Signals

    name = text.upper().removeprefix("SIG")
    return text.isdecimal() or f"SIG{name}" in Signals.__members__


def _local(target: Target, change: Change) -> Collected:
    try:
        return Collected([target.agent().operate(change)])
    except KeyboardInterrupt:
        return Collected([HostAnswer("", Bucket.UNKNOWN, _INTERRUPTED)], is_interrupted=True)


def _remote(target: Target, change: Change, output: Output, *, yes: bool) -> int:
    from fleet_api.hostset import fold

    from fleet_cli import confirm

    invocation = target.invocation
    with target.connect() as controller:
        records = controller.hosts(target.hosts)
        if not records:
            raise BadRequest(
                "EMPTY_TARGET", "no host is meant; nothing was sent", "`fleetctl hosts` lists hosts"
            )
        names = [record.name for record in records]
        try:
            is_agreed = confirm.is_agreed(change, names, invocation, is_agreed_already=yes)
        except KeyboardInterrupt:
            invocation.tell("nothing was sent")
            raise
        if not is_agreed:
            invocation.tell("nothing was sent")
            return exit_codes.USAGE
        # The hosts that were agreed to, whatever the expression means a moment later.
        answers = controller.operate(fold(names), change)
        collected = report.collect(answers, invocation, output, "change", change.verb, names)
    failure = collected.failure
    if failure is not None and not collected.answers and not isinstance(failure, Unavailable):
        raise failure  # it was not accepted
    return report.change(invocation, output, change, complete(collected, records), is_local=False)


def complete(collected: Collected, records: Sequence[HostRecord]) -> Collected:
    """Give every target that has not answered its bucket: what became of it is unknown."""
    reaches = {record.name: record.reachability for record in records}
    answers = [
        answer if answer.bucket is Bucket.OK else answer._replace(reachability=reaches.get(answer.host))
        for answer in collected.answers
    ]
    answered = {answer.host for answer in answers}
    missing = [record for record in records if record.name not in answered]
    error = _INTERRUPTED if collected.is_interrupted else _LOST
    lost = [
        HostAnswer(record.name, Bucket.UNKNOWN, error, reachability=record.reachability) for record in missing
    ]
    return collected._replace(answers=[*answers, *lost])
