"""`fleetctl signal`."""

from typing import Annotated

import typer

from fleet_cli import operate
from fleet_cli.options import Fanout, Output, OutputOption, Programs, Reason, Target, Yes, targeted

app = typer.Typer(add_completion=False, rich_markup_mode=None)

Signal = Annotated[str | None, typer.Argument(metavar="SIGNAL", help="HUP, SIGHUP or 1")]


@app.command()
@targeted
def signal(
    target: Target,
    signal: Signal = None,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
    yes: Yes = False,
    reason: Reason = "",
    fanout: Fanout = 0,
) -> int:
    """Send a signal to processes."""
    terms = operate.require(
        programs,
        "fleetctl signal SIGNAL PROGRAM... [-H HOSTS]",
        "signal requires a signal name and a process name",
    )
    return operate.run(
        target, "signal", terms, output, signal=signal or "", yes=yes, reason=reason, fanout=fanout
    )
