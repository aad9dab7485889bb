"""`fleetctl disable`: keeps processes from being started until they are enabled, on this host or on many."""

from typing import Annotated

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
fleetctl disable web --reason 'disk is being replaced'
fleetctl disable --now 'worker:*' -H 'web[1-20]'
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def disable(
    target: Target,
    sending: Sending,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
    no_wait: NoWait = False,
    now: Annotated[bool, typer.Option("--now", help="Stop them as well")] = False,
) -> int:
    """Keep processes from being started, by anything but `enable`, also when agent or host start.

    What runs goes on running, unless --now stops it.

    Exit code: 0 all did it, or were as asked; 2 one failed or refused; 4 a host did not answer; 6 both.
    """
    return operate.run(target, "disable", programs, output, sending, no_wait=no_wait, now=now)
