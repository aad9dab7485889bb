"""`fleetctl version`: of this command, and of whoever answers it."""

from collections import defaultdict
from typing import Any

import typer
from fleet_api.errors import FleetError
from fleet_api.version import VERSION

from fleet_cli import exit_codes
from fleet_cli.options import Output, OutputOption, Target, VerbCommand, targeted
from fleet_cli.views.text import shown

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """
fleetctl version
fleetctl version --all-hosts
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def version(target: Target, output: OutputOption = Output.TABLE) -> int:
    """Show versions.

    Of fleetctl and of the agent here; with -H of the controller and of the agents on those hosts.

    Exit code: 0; 4 when the agent, or one of the agents, does not answer (the controller tells what it
    knew last).
    """
    found: dict[str, Any] = {"fleetctl": VERSION}
    lines, code = (_remote if target.is_remote else _local)(target, found)
    lines.insert(0, f"fleetctl    {VERSION}")
    if output in {Output.JSON, Output.JSONL}:
        from fleet_cli.views import json

        target.invocation.print(json.plain("version", found))
    else:
        target.invocation.print("\n".join(lines))
    return code


def _local(target: Target, found: dict[str, Any]) -> tuple[list[str], int]:
    try:
        hello = target.agent().hello()
    except FleetError as error:
        found["agent"] = None
        return [f"agent       not answering: {shown(error.message)}"], exit_codes.of_error(error)
    found["agent"] = {"host": hello.get("host_id", ""), "version": hello.get("version", "")}
    lines = [f"agent       {shown(str(hello.get('version', '')))}  {shown(str(hello.get('host_id', '')))}"]
    problem = str(hello.get("gateway_problem", ""))
    if problem:
        found["agent"]["gateway_problem"] = problem
        lines.append(f"gateway     not serving: {shown(problem)}")
    troubles = hello.get("troubles", [])
    if troubles:
        found["agent"]["troubles"] = troubles
        lines += [f"trouble     {shown(trouble['message'])}" for trouble in troubles]
    return lines, exit_codes.OK


def _remote(target: Target, found: dict[str, Any]) -> tuple[list[str], int]:
    from fleet_cli.views.folded import hosts_text

    with target.connect() as controller:
        about = controller.about()
        records = controller.hosts(target.hosts)
    found["controller"] = {"fleet": about["fleet"], "version": about["version"]}
    found["agents"] = {record.name: record.agent_version for record in records}
    by_version: dict[tuple[str, str], list[str]] = defaultdict(list)
    for record in records:
        note = "" if record.reachability.state in {"connected", "late"} else "  (not answering)"
        by_version[record.agent_version or "unknown", note].append(record.name)
    lines = [f"controller  {shown(about['version'])}  fleet {shown(about['fleet'])}"]
    lines += [
        f"agent       {shown(number)}  {hosts_text(names)}{note}"
        for (number, note), names in sorted(by_version.items())
    ]
    is_whole = all(not note for _, note in by_version)
    return lines, exit_codes.OK if is_whole else exit_codes.UNREACHABLE
