"""`fleetctl pid`: process ids, bare."""

import typer
from fleet_api.errors import BadRequest, FleetError
from fleet_api.rows import display_name

from fleet_cli import exit_codes, programs
from fleet_cli.answers import HostAnswer, settle_read
from fleet_cli.options import Output, OutputOption, Programs, Target, targeted
from fleet_cli.views import folded, table
from fleet_cli.views.text import shown

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@targeted
def pid(target: Target, names: Programs = None, output: OutputOption = Output.TABLE) -> int:
    """Print the pid of each process, 0 when it does not run; without a name, the agent's own.

    Exit code: 3 when one does not run, 2 when a name is unknown, 4 when a host did not answer.
    """
    if target.is_remote:
        if not names:
            raise BadRequest(
                "USAGE", "pid on hosts requires a process name", "fleetctl pid PROGRAM... -H HOSTS"
            )
        with target.connect() as controller:
            answers = settle_read(list(controller.status(target.hosts, names)))
        return _report(target, answers, output, is_local=False)
    if not names:
        return _keeper(target, output)
    return _report(target, [target.agent().status(names)], output, is_local=True)


def _keeper(target: Target, output: Output) -> int:
    number = target.agent().hello().get("pid", 0)
    if output in {Output.JSON, Output.JSONL}:
        from fleet_cli.views import json

        target.invocation.print(json.plain("pid", {"pid": number}))
    else:
        target.invocation.print(str(number))
    return exit_codes.OK


def _report(target: Target, answers: list[HostAnswer], output: Output, *, is_local: bool) -> int:
    invocation = target.invocation
    records = [
        (answer.host, row["group"], row["name"], row["pid"])
        for answer in sorted(answers, key=lambda answer: answer.host)
        for row in sorted(answer.rows, key=table.sort_key)
    ]
    if output in {Output.JSON, Output.JSONL}:
        from fleet_cli.views import json

        entries = [
            {"host": host, "group": group, "name": name, "pid": pid} for host, group, name, pid in records
        ]
        invocation.print(json.plain("pid", {"processes": entries}))
    else:
        for host, group, name, number in records:
            place = (
                "" if is_local or len(answers) == 1 else f"{shown(host)} {shown(display_name(group, name))} "
            )
            invocation.print(f"{place}{number}")
    for answer in answers:
        for error in answer.errors:
            line = f"No such process {programs.subject(error['message']) or error['message']}"
            invocation.tell(shown(line if is_local else f"{answer.host}: {line}"))
        if is_local and answer.error is not None:
            invocation.tell_error(FleetError(**answer.error))
    if not is_local:
        invocation.tell(
            folded.trouble([answer._replace(errors=()) for answer in answers], None, False, invocation.wall())
        )
        for hint in folded.hints(answers):
            invocation.tell(hint)
    code = exit_codes.of_buckets(answer.bucket for answer in answers)
    if code == exit_codes.OK and any(number == 0 for *_, number in records):
        return exit_codes.NOT_AS_WANTED
    return code
