"""`fleetctl stop`: stops processes and waits until they have ended, on this host or on many."""

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
fleetctl stop web
fleetctl stop 'web*' -H 'web[1-20],!web3'
fleetctl stop all --all-hosts --reason 'power work'
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def stop(
    target: Target,
    sending: Sending,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
    no_wait: NoWait = False,
) -> int:
    """Stop processes and wait until each has ended.

    Exit code: 0 all did it, or were as asked; 2 one failed or refused; 4 a host did not answer; 6 both.
    """
    return operate.run(target, "stop", programs, output, sending, no_wait=no_wait)
