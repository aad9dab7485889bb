"""`fleetctl restart`: stops processes, then starts them, on this host or on many."""

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
fleetctl restart web
fleetctl restart web --all-hosts --fanout 5 --reason 'new certificate'
fleetctl restart 'worker:*' -H @blue -o jsonl --yes
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def restart(
    target: Target,
    sending: Sending,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
    no_wait: NoWait = False,
) -> int:
    """Stop processes, then start them.

    What does not run is started. The configuration is not read again.

    Exit code: 0 all did it, or were as asked; 2 one failed or refused; 4 a host did not answer; 6 both.
    """
    return operate.run(target, "restart", programs, output, sending, no_wait=no_wait)
