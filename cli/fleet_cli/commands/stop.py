"""`fleetctl stop`."""

import typer

from fleet_cli import operate
from fleet_cli.options import (
    Fanout,
    NoWait,
    Output,
    OutputOption,
    Programs,
    Reason,
    Target,
    Yes,
    targeted,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@targeted
def stop(
    target: Target,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
    yes: Yes = False,
    reason: Reason = "",
    no_wait: NoWait = False,
    fanout: Fanout = 0,
) -> int:
    """Stop processes and wait until each has ended."""
    terms = operate.require(programs, "fleetctl stop PROGRAM... [-H HOSTS]", "stop requires a process name")
    return operate.run(target, "stop", terms, output, yes=yes, reason=reason, no_wait=no_wait, fanout=fanout)
