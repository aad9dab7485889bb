"""`fleetctl hosts`: the inventory, and who of it answers."""

import typer
from fleet_api.errors import BadRequest

from fleet_cli import exit_codes
from fleet_cli.options import Output, OutputOption, Target, VerbCommand, targeted
from fleet_cli.views import table
from fleet_cli.views.text import shown

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """
fleetctl hosts
fleetctl hosts -H 'web[1-20]&@blue' -o name
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def hosts(target: Target, output: OutputOption = Output.TABLE) -> int:
    """Show the hosts of the controller.

    All, or those of -H, with their reachability.

    Exit code: 0 whoever is unreachable (it is the controller that is asked); 7 when there is none.
    """
    invocation = target.invocation
    expression = target.hosts if target.is_remote else None
    with target.connect() as controller:
        records = controller.hosts(expression)
    if not records:
        raise BadRequest("EMPTY_TARGET", "the controller knows no host", "add hosts to its inventory")
    if output in {Output.JSON, Output.JSONL}:
        from fleet_cli.views import json

        if output is Output.JSON:
            invocation.print(json.inventory(records))
        else:
            invocation.print("\n".join(json.inventory_record(record) for record in records))
    elif output is Output.NAME:
        invocation.print("\n".join(shown(record.name) for record in records))
    else:
        has_colour, now = invocation.terminal.has_colour, invocation.wall()
        invocation.print(table.hosts(records, has_colour, now, has_labels=output is Output.WIDE))
    return exit_codes.OK
