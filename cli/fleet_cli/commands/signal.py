"""`fleetctl signal`: sends a signal to processes, on this host or on many."""

from typing import Annotated

import typer

from fleet_cli import operate
from fleet_cli.options import Output, OutputOption, Programs, Sending, Target, VerbCommand, targeted

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """
fleetctl signal HUP nginx
fleetctl signal USR1 'worker:*' -H @blue --yes
"""

Signal = Annotated[str | None, typer.Argument(metavar="SIGNAL", help="HUP, SIGHUP or 1")]


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def signal(
    target: Target,
    sending: Sending,
    signal: Signal = None,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
) -> int:
    """Send a signal to processes.

    Exit code: 0 all got it; 2 one does not run or failed; 4 a host did not answer; 6 both.
    """
    return operate.run(target, "signal", programs, output, sending, signal=signal or "")
