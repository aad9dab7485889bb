"""`fleetctl pid`: process ids, bare."""

from collections import defaultdict
from typing import NamedTuple

import typer
from fleet_api.errors import BadRequest
from fleet_api.rows import display_name

from fleet_cli import exit_codes, programs
from fleet_cli.answers import Bucket, HostAnswer, settle_read
from fleet_cli.options import Output, OutputOption, Programs, Target, VerbCommand, targeted
from fleet_cli.views import folded, table
from fleet_cli.views.text import shown

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """
kill -USR1 $(fleetctl pid web)
fleetctl pid 'worker:*' --all-hosts
fleetctl pid                           the agent's
"""


class _Found(NamedTuple):
    host: str
    group: str
    name: str
    pid: int


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def pid(target: Target, names: Programs = None, output: OutputOption = Output.TABLE) -> int:
    """Print process ids.

    One a line in the order asked for, 0 when it does not run; without a name, the agent's own. Of several
    hosts, each pid stands behind its host and process.

    Exit code: 3 when one does not run, 2 when a name is unknown, 4 when a host did not answer.
    """
    if target.is_remote:
        if not names:
            raise BadRequest(
                "USAGE", "pid on hosts requires a process name", "fleetctl pid PROGRAM... -H HOSTS"
            )
        with target.connect() as controller:
            answers = settle_read(list(controller.status(target.hosts, names)))
        return _report(target, names, answers, output, is_local=False)
    if not names:
        return _keeper(target, output)
    return _report(target, names, [target.agent().status(names)], output, is_local=True)


def _keeper(target: Target, output: Output) -> int:
    number = target.agent().hello().get("pid", 0)
    if output in {Output.JSON, Output.JSONL}:
        from fleet_cli.views import json

        target.invocation.print(json.plain("pid", {"pid": number}))
    else:
        target.invocation.print(str(number))
    return exit_codes.OK


def _report(
    target: Target, names: list[str], answers: list[HostAnswer], output: Output, *, is_local: bool
) -> int:
    found = _found(answers, names)
    _print(target, found, output, is_bare=is_local or len(answers) == 1, is_local=is_local)
    _tell(target, answers, is_local=is_local)
    code = exit_codes.of_buckets(answer.bucket for answer in answers)
    if code == exit_codes.OK and any(one.pid == 0 for one in found):
        return exit_codes.NOT_AS_WANTED
    return code


def _found(answers: list[HostAnswer], names: list[str]) -> list[_Found]:
    """Host by host; within one, in the order of the names: a bare number has nothing else to tell it by."""
    return [
        _Found(answer.host, row["group"], row["name"], row["pid"])
        for answer in sorted(answers, key=lambda answer: answer.host)
        if answer.bucket in {Bucket.OK, Bucket.FAILED}
        for row in (sorted(answer.rows, key=table.sort_key) if "all" in names else answer.rows)
    ]


def _print(target: Target, found: list[_Found], output: Output, *, is_bare: bool, is_local: bool) -> None:
    invocation = target.invocation
    if output in {Output.JSON, Output.JSONL}:
        from fleet_cli.views import json

        invocation.print(json.plain("pid", {"processes": [one._asdict() for one in found]}))
    elif output is Output.WIDE:
        lines = [(one.host, display_name(one.group, one.name), str(one.pid)) for one in found]
        invocation.print(table.grid([("HOST", "PROCESS", "PID"), *lines], 2, False))
    else:
        for one in found:
            name = shown(display_name(one.group, one.name))
            place = name if is_local else f"{shown(one.host)} {name}"
            if output is Output.NAME:
                invocation.print(place)
            else:
                invocation.print(str(one.pid) if is_bare else f"{place} {one.pid}")


def _tell(target: Target, answers: list[HostAnswer], *, is_local: bool) -> None:
    """What has no pid, and why."""
    invocation = target.invocation
    missing: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        for error in answer.errors:
            term = programs.subject(error["message"]) or error["message"]
            missing[f"No such process {term}"].append(answer.host)
        if is_local and answer.error is not None:
            invocation.tell_error(answer.error)
    for line, hosts in missing.items():
        invocation.tell(shown(line if is_local else f"{folded.short_hosts(hosts)}: {line}"))
    if not is_local:
        silent = [answer._replace(errors=()) for answer in answers]
        invocation.tell(folded.trouble(silent, None, False, invocation.wall()))
        for hint in folded.hints(answers):
            invocation.tell(hint)
