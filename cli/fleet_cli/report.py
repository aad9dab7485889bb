"""Prints the answers of a status or a change in the form that was asked for, and gives the exit code.

Data goes to stdout; reasons in full, cures and counts to stderr.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fleet_api.errors import FleetError
from fleet_api.rows import display_name

from fleet_cli import exit_codes, programs
from fleet_cli.answers import Bucket, Change, HostAnswer, count, settle_read
from fleet_cli.invocation import Invocation
from fleet_cli.options import Output
from fleet_cli.views import lines, summary, table, troubles
from fleet_cli.views.text import paint, shown


class Collected(NamedTuple):
    """What came of asking many hosts. `failure` is why no more came, `printed` whose line is out already."""

    answers: list[HostAnswer]
    is_interrupted: bool = False
    failure: FleetError | None = None
    printed: frozenset[str] = frozenset()


def collect(
    answers: Iterator[HostAnswer],
    invocation: Invocation,
    output: Output,
    kind: str,
    verb: str,
    targets: Sequence[str] = (),
) -> Collected:
    """Take every answer until the end, an error or Ctrl-C; prints each at once for jsonl.

    `targets` are the hosts that will answer, where that is known.
    """
    from fleet_cli.views.progress import Progress

    collected: list[HostAnswer] = []
    printed: set[str] = set()
    is_interrupted, failure = False, None
    is_shown = output is not Output.JSONL
    with Progress(invocation.stderr, invocation.terminal, verb, targets, is_shown=is_shown) as progress:
        try:
            for answer in answers:
                collected.append(answer)
                if output is Output.JSONL and not (kind == "status" and answer.errors):
                    _print_record(invocation, kind, verb, answer)
                    printed.add(answer.host)
                progress.count(answer)
        except KeyboardInterrupt:
            is_interrupted = True
        except FleetError as error:
            failure = error
    return Collected(collected, is_interrupted, failure, frozenset(printed))


def status(
    invocation: Invocation, output: Output, collected: Collected, *, is_local: bool, has_trees: bool = False
) -> int:
    """Print a status, with descendants where they were asked for; returns the exit code."""
    answers = collected.answers if is_local else settle_read(collected.answers)
    code = exit_codes.of_status(
        [answer.bucket for answer in answers], [row["state"] for answer in answers for row in answer.rows]
    )
    code = _code(code, collected)
    has_colour = invocation.terminal.has_colour
    if output is Output.JSON:
        from fleet_cli.views import json

        invocation.print(
            json.document("status", "status", _by_host(answers), _summary(answers, collected, code))
        )
    elif output is Output.JSONL:
        _print_rest(invocation, "status", "status", answers, collected, code)
    elif output is Output.NAME:
        _print_names(invocation, answers, is_local=is_local)
    elif has_trees:
        from fleet_cli.views import tree

        invocation.print(tree.status(_by_host(answers), has_colour, is_local=is_local))
    elif output is Output.WIDE:
        invocation.print(table.wide_status(answers, has_colour, invocation.wall()))
    elif is_local or _is_plain(answers):
        for error in answers[0].errors if answers else ():
            invocation.print(paint(shown(programs.missing_line(error["message"])), "red", has_colour))
        invocation.print(
            "\n".join(table.status(answer.rows, has_colour) for answer in answers if answer.rows)
        )
    else:
        from fleet_cli.views import folded

        width = invocation.terminal.width
        invocation.print(folded.status(answers, width, has_colour, invocation.wall()))
    for answer in answers:
        for line in troubles.lines(answer, invocation.wall(), is_local=is_local):
            invocation.tell(line)
    _print_end(invocation, answers, collected, is_local=is_local)
    return code


def change(
    invocation: Invocation, output: Output, asked: Change, collected: Collected, *, is_local: bool
) -> int:
    """Print what became of a change; returns the exit code."""
    answers = collected.answers
    code = _code(exit_codes.of_buckets(answer.bucket for answer in answers), collected)
    has_colour = invocation.terminal.has_colour
    if output is Output.JSON:
        from fleet_cli.views import json

        numbers = _summary(answers, collected, code)
        invocation.print(json.document("change", asked.verb, _by_host(answers), numbers, asked.operation_id))
    elif output is Output.JSONL:
        _print_rest(invocation, "change", asked.verb, answers, collected, code, asked.operation_id)
    elif output is Output.NAME:
        _print_names(invocation, answers, is_local=is_local)
    elif output is Output.WIDE:
        invocation.print(table.wide_change(asked, answers, has_colour))
    elif is_local or _is_plain(answers):
        for answer in answers:
            invocation.print(lines.change(asked.verb, answer, asked.terms, has_colour, wait=asked.wait))
            for explanation in lines.explanations(answer):
                invocation.tell(explanation)
    else:
        from fleet_cli.views import folded

        width = invocation.terminal.width
        invocation.print(folded.change(asked, answers, width, has_colour, invocation.wall()))
    _print_end(invocation, answers, collected, is_local=is_local, operation_id=asked.operation_id)
    return code


def _code(code: int, collected: Collected) -> int:
    if collected.is_interrupted:
        return exit_codes.INTERRUPTED
    if collected.failure is None:
        return code
    of_failure = exit_codes.of_error(collected.failure)
    if exit_codes.OWN_SIDE in {code, of_failure}:
        return exit_codes.OWN_SIDE
    bits = exit_codes.FAILED | exit_codes.UNREACHABLE
    seen = 0 if code == exit_codes.NOT_AS_WANTED else code & bits
    return seen | (of_failure & bits) or exit_codes.FAILED


def _by_host(answers: Sequence[HostAnswer]) -> list[HostAnswer]:
    return sorted(answers, key=lambda answer: answer.host)


def _is_plain(answers: Sequence[HostAnswer]) -> bool:
    """Whether this is one host that answered: it is printed as the local one."""
    return (
        len(answers) == 1
        and answers[0].error is None
        and answers[0].bucket in {Bucket.OK, Bucket.FAILED, Bucket.REFUSED}
        and (answers[0].reachability is None or answers[0].reachability.state != "late")
    )


def _summary(answers: Sequence[HostAnswer], collected: Collected, code: int) -> dict[str, object]:
    from fleet_cli.views import json

    return json.summary(count(answers), code, is_interrupted=collected.is_interrupted)


def _print_record(invocation: Invocation, kind: str, verb: str, answer: HostAnswer) -> None:
    from fleet_cli.views import json

    invocation.print(json.record(kind, verb, answer))
    invocation.stdout.flush()


def _print_rest(
    invocation: Invocation,
    kind: str,
    verb: str,
    answers: Sequence[HostAnswer],
    collected: Collected,
    code: int,
    operation_id: str = "",
) -> None:
    from fleet_cli.views import json

    for answer in answers:
        if answer.host not in collected.printed:
            _print_record(invocation, kind, verb, answer)
    invocation.print(json.last_record(kind, verb, _summary(answers, collected, code), operation_id))


def _print_names(invocation: Invocation, answers: Sequence[HostAnswer], *, is_local: bool) -> None:
    """`group:name` each, behind the host and a blank where hosts were asked for."""
    names = [
        ("" if is_local else f"{shown(answer.host)} ") + shown(display_name(row["group"], row["name"]))
        for answer in _by_host(answers)
        for row in sorted([*answer.rows, *answer.outcomes], key=lambda row: (row["group"], row["name"]))
    ]
    invocation.print("\n".join(names))


def _print_end(
    invocation: Invocation,
    answers: Sequence[HostAnswer],
    collected: Collected,
    *,
    is_local: bool,
    operation_id: str = "",
) -> None:
    if is_local:
        for answer in answers:
            if answer.error is not None:
                invocation.tell_error(answer.error)
        return
    from fleet_cli.views import folded

    for hint in folded.hints(answers):
        invocation.tell(hint)
    if collected.failure is not None:
        invocation.tell_error(collected.failure)
    is_whole = all(answer.bucket is Bucket.OK for answer in answers) and collected.failure is None
    if len(answers) != 1 or not is_whole or collected.is_interrupted:
        shown_id = "" if is_whole and not collected.is_interrupted else operation_id
        invocation.tell(
            summary.line(count(answers), is_interrupted=collected.is_interrupted, operation_id=shown_id)
        )
