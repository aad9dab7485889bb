"""Names of programs as people write them: `name`, `group:name`, `group:*`, globs, `all`.

The agent decides what a term means; this file only tells which of the terms an answer speaks of.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase


def is_match(term: str, group: str, name: str) -> bool:
    """Whether a term means this process."""
    if term == "all":
        return True
    if ":" in term:
        group_part, _, name_part = term.partition(":")
        return fnmatchcase(group, group_part) and fnmatchcase(name, name_part or "*")
    return fnmatchcase(name, term)


def is_exact(term: str) -> bool:
    """Whether a term names one process rather than a set."""
    return term != "all" and not term.endswith(":") and not any(sign in term for sign in "*?[")


def term_of(message: str, terms: Iterable[str]) -> str | None:
    """The longest of the terms that a message mentions."""
    mentioned = [term for term in terms if _mentions(message, term)]
    return max(mentioned, key=len, default=None)


def missing_line(message: str, terms: Sequence[str]) -> str:
    """`X: ERROR (no such process)`, or `(no such group)` for a whole group, as supervisorctl says it."""
    term = term_of(message, terms)
    if term is None:
        return f"ERROR ({message})"
    group, colon, name = term.partition(":")
    if colon and name in {"", "*"}:
        return f"{group}: ERROR (no such group)"
    return f"{term}: ERROR (no such process)"


def _mentions(message: str, term: str) -> bool:
    start = message.find(term)
    while start >= 0:
        before = message[start - 1] if start else " "
        after = message[start + len(term)] if start + len(term) < len(message) else " "
        if not _is_name(before) and (not _is_name(after) or after == ":"):
            return True
        start = message.find(term, start + 1)
    return False


def _is_name(character: str) -> bool:
    return character.isalnum() or character in "_-.:*?"
