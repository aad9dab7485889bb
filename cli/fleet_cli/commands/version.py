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

    Exit code: 0 also when no agent runs here; that is said.
    """
    found: dict[str, Any] = {"fleetctl": VERSION}
    lines = [f"fleetctl    {found['fleetctl']}"]
    if target.is_remote:
        lines += _remote(target, found)
    else:
        lines += _local(target, found)
    if output in {Output.JSON, Output.JSONL}:
        from fleet_cli.views import json

        target.invocation.print(json.plain("version", found))
    else:
        target.invocation.print("\n".join(lines))
    return exit_codes.OK


def _local(target: Target, found: dict[str, Any]) -> list[str]:
    try:
        hello = target.agent().hello()
    except FleetError as error:
        found["agent"] = None
        return [f"agent       not answering: {shown(error.message)}"]
    found["agent"] = {"host": hello.get("host_id", ""), "version": hello.get("version", "")}
    lines = [f"agent       {shown(str(hello.get('version', '')))}  {shown(str(hello.get('host_id', '')))}"]
    problem = str(hello.get("gateway_problem", ""))
    if problem:
        found["agent"]["gateway_problem"] = problem
        lines.append(f"gateway     not serving: {shown(problem)}")
    return lines


def _remote(target: Target, found: dict[str, Any]) -> list[str]:
    from fleet_cli.views.folded import hosts_text

    with target.connect() as controller:
        about = controller.about()
        records = controller.hosts(target.hosts)
    found["controller"] = {"fleet": about["fleet"], "version": about["version"]}
    found["agents"] = {record.name: record.agent_version for record in records}
    by_version: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_version[record.agent_version or "unknown"].append(record.name)
    lines = [f"controller  {shown(about['version'])}  fleet {shown(about['fleet'])}"]
    return lines + [
        f"agent       {shown(number)}  {hosts_text(names)}" for number, names in sorted(by_version.items())
    ]
