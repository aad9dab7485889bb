"""`fleetctl enable`: lets processes be started again, on this host or on many."""

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
fleetctl enable web
fleetctl enable --now web -H web3
fleetctl enable all --all-hosts --yes
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def enable(
    target: Target,
    sending: Sending,
    programs: Programs = None,
    output: OutputOption = Output.TABLE,
    no_wait: NoWait = False,
    now: Annotated[bool, typer.Option("--now", help="Start them as well")] = False,
) -> int:
    """Let processes be started again, by their configuration and by `start`.

    What an operator has stopped starts with the agent again.

    Exit code: 0 all did it, or were as asked; 2 one failed or refused; 4 a host did not answer; 6 both.
    """
    return operate.run(target, "enable", programs, output, sending, no_wait=no_wait, now=now)
