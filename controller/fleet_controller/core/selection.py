"""Which processes of a host the terms of a request mean, by the same rules as the agent's own.

    name          the process of the group of the same name
    group:name    one process
    group:*       a whole group, also written `group:`
    all           everything; so do no terms at all
    we*  g:web_?  globs on the name as shown, or on either part

Called by `status` for answers from memory; changes are matched by the agents themselves.
"""

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase

from fleet_api.errors import FleetError, NotFound
from fleet_api.rows import display_name

ProcessId = tuple[str, str]
"""Group and name."""

SHOWN_CHARACTERS = 80
MEANT_NAMES = 3


def select(terms: Sequence[str], ids: Iterable[ProcessId]) -> tuple[list[ProcessId], list[FleetError]]:
    """The chosen processes, term by term and each once, and one error for each term that matches none."""
    known = dict.fromkeys(ids)
    if not terms or "all" in terms:
        return list(known), []
    chosen: dict[ProcessId, None] = {}
    errors: list[FleetError] = []
    for term in dict.fromkeys(terms):
        found = _matching(term, known)
        if not found:
            errors.append(_nothing(term, known))
        chosen.update(dict.fromkeys(found))
    return list(chosen), errors


def _matching(term: str, known: Collection[ProcessId]) -> list[ProcessId]:
    group, has_group, name = term.partition(":")
    exact = (group, name) if has_group else (term, term)
    if exact in known:
        return [exact]
    if has_group:
        return [id_ for id_ in known if _fits(id_[0], group) and _fits(id_[1], name or "*")]
    return [id_ for id_ in known if _is_glob(term) and fnmatchcase(display_name(*id_), term)]


def _fits(text: str, pattern: str) -> bool:
    return text == pattern or (_is_glob(pattern) and fnmatchcase(text, pattern))


def _is_glob(text: str) -> bool:
    return any(character in "*?[" for character in text)


def _nothing(term: str, known: Collection[ProcessId]) -> NotFound:
    shown = term if len(term) <= SHOWN_CHARACTERS else f"{term[:SHOWN_CHARACTERS]}..."
    group, has_group, name = shown.partition(":")
    if has_group and name in ("", "*"):
        return NotFound("NO_SUCH_GROUP", f"{group}: no such group", "fleetctl status shows all groups")
    meant = [f'"{display_name(*id_)}"' for id_ in known if id_[1] == term]
    hint = "fleetctl status shows all processes"
    if any(id_[0] == term for id_ in known):
        hint = f'"{term}:*" means the whole group'
    elif meant:
        hint = f"did you mean {' or '.join(meant[:MEANT_NAMES])}?"
    return NotFound("NO_SUCH_PROCESS", f"{shown}: no such process", hint)
