"""`fleetctl status`: what runs, on this host or on many."""

from collections.abc import Sequence

import typer

from fleet_cli import report
from fleet_cli.options import Output, OutputOption, Programs, Target, targeted

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
@targeted
def status(target: Target, programs: Programs = None, output: OutputOption = Output.TABLE) -> int:
    """Show processes; without a name, all.

    Exit code: 0 all as wanted; 3 some process is stopped, exited or fatal; 2 a name is unknown or a host
    failed; 4 a host did not answer; 6 both.
    """
    terms = programs or []
    if target.is_remote:
        return _remote(target, terms, output)
    collected = report.Collected([target.agent().status(terms)])
    return report.status(target.invocation, output, collected, is_local=True)


def _remote(target: Target, terms: Sequence[str], output: Output) -> int:
    with target.connect() as controller:
        answers = controller.status(target.hosts, terms)
        collected = report.collect(answers, target.invocation, output, "status", "status")
    if collected.failure is not None and not collected.answers:
        raise collected.failure
    return report.status(target.invocation, output, collected, is_local=False)
