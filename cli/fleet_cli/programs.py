"""Names of programs as people write them: `name`, `group:name`, `group:*`, globs, `all`.

What a term means is decided where it is answered; this file only reads those answers.
"""

from collections.abc import Iterable

from fleet_api.rows import display_name


def is_named(terms: Iterable[str], group: str, name: str) -> bool:
    """Whether a term names just this process, not a set that it is in."""
    return any(term in {display_name(group, name), f"{group}:{name}"} for term in terms)


def subject(message: str) -> str:
    """The term that a message of the form `X: no such process` is about; empty when it has another form."""
    before, colon, _ = message.rpartition(": ")
    return before if colon else ""


def missing_line(message: str) -> str:
    """`X: ERROR (no such process)`, as supervisorctl says it."""
    term = subject(message)
    return f"{term}: ERROR ({message[len(term) + 2 :]})" if term else f"ERROR ({message})"
