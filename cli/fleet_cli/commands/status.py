"""`fleetctl status`: what runs, on this host or on many."""

from collections.abc import Sequence
from typing import Annotated

import typer

from fleet_cli import report
from fleet_cli.options import Output, OutputOption, Programs, Target, VerbCommand, targeted

TreeOption = Annotated[
    bool, typer.Option("--tree", help="Show every descendant too, with CPU time and memory")
]

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """
fleetctl status                        this host
fleetctl status 'web:*' db             a group, a program
fleetctl status --all-hosts            the fleet, folded
fleetctl status web -H 'web[1-20],!web3' -o wide
fleetctl status --tree web             with descendants, CPU time, memory
"""


@app.command(cls=VerbCommand, epilog=EXAMPLES)
@targeted
def status(
    target: Target, programs: Programs = None, output: OutputOption = Output.TABLE, tree: TreeOption = False
) -> int:
    """Show processes; without a name, all.

    Exit code: 0 all as wanted; 3 some process is stopped, exited or fatal; 2 a name is unknown or a host
    failed; 4 a host did not answer; 6 both.
    """
    terms = programs or []
    if target.is_remote:
        return _remote(target, terms, output, tree=tree)
    collected = report.Collected([target.agent().status(terms, tree=tree)])
    return report.status(target.invocation, output, collected, is_local=True, has_trees=tree)


def _remote(target: Target, terms: Sequence[str], output: Output, *, tree: bool) -> int:
    with target.connect() as controller:
        answers = controller.status(target.hosts, terms, tree=tree)
        collected = report.collect(answers, target.invocation, output, "status", "status")
    if collected.failure is not None and not collected.answers:
        raise collected.failure
    return report.status(target.invocation, output, collected, is_local=False, has_trees=tree)
