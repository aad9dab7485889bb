"""The question before a change on more than one host."""

from collections.abc import Sequence

from fleet_api.errors import BadRequest

from fleet_cli.answers import Change
from fleet_cli.invocation import Invocation
from fleet_cli.views.folded import short_hosts
from fleet_cli.views.text import shown


def is_agreed(
    change: Change, hosts: Sequence[str], invocation: Invocation, *, is_agreed_already: bool
) -> bool:
    """Whether the change may be sent. One host needs no question.

    Raises: BadRequest when a question is due and nobody can answer it; KeyboardInterrupt.
    """
    if is_agreed_already or len(hosts) <= 1:
        return True
    text = question(change, hosts)
    if not invocation.terminal.can_ask:
        raise BadRequest(
            "CONFIRMATION_NEEDED",
            f"not confirmed, nothing was sent: {text}",
            "there is no terminal to ask at; use --yes",
        )
    invocation.stdout.flush()
    invocation.stderr.write(f"{text} [y/N] ")
    invocation.stderr.flush()
    answer = ""
    try:
        answer = invocation.stdin.readline()
    finally:
        if not answer:
            invocation.stderr.write("\n")  # nobody has pressed Enter
    return answer.strip().lower() in {"y", "yes"}


def question(change: Change, hosts: Sequence[str]) -> str:
    """`Stop web:* on 12 hosts (web[1-12])?`"""
    what = shown(" ".join(change.terms))
    action = f"Send {shown(change.signal)} to" if change.verb == "signal" else change.verb.capitalize()
    return f"{action} {what} on {len(hosts)} hosts ({short_hosts(hosts)})?"
