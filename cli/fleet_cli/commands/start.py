"""`fleetctl start`: starts processes and waits until each has stayed up, on this host or on many."""

import typer

from fleet_cli import operate
from fleet_cli.options import (
    NoWait,
    Output,
    OutputOption,
    Programs,
    Sending,
    Target,
    VerbCommand,
    targeted,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """
fleetctl start web
fleetctl start 'worker:*' -H @blue --yes
fleetctl start all --no-wait
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def start(
    target: Target,
    sending: Sending,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
    no_wait: NoWait = False,
) -> int:
    """Start processes and wait until each has stayed up.

    Exit code: 0 all did it, or were as asked; 2 one failed or refused; 4 a host did not answer; 6 both.
    """
    return operate.run(target, "start", programs, output, sending, no_wait=no_wait)
