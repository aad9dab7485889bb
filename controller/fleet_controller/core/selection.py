"""Which processes of a host the terms of a request mean; called by `service` for answers from memory."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from fleet_api.errors import FleetError, NotFound

ProcessId = tuple[str, str]
"""Group and name."""


def select(terms: Sequence[str], ids: Iterable[ProcessId]) -> tuple[list[ProcessId], list[FleetError]]:
    """The chosen processes in the order of `ids`, and one error for each term that matches none.

    A term is `all`, `name`, `group:name`, `group:*`, or a glob of these. No terms mean all.
    """
    known = list(ids)
    if not terms:
        return known, []
    chosen: set[ProcessId] = set()
    errors: list[FleetError] = []
    for term in dict.fromkeys(terms):
        found = _matching(term, known)
        if not found and term != "all":
            errors.append(NotFound("NO_SUCH_PROCESS", f"{term}: no such process", ""))
        chosen.update(found)
    return [id_ for id_ in known if id_ in chosen], errors


def _matching(term: str, known: Sequence[ProcessId]) -> list[ProcessId]:
    if term == "all":
        return list(known)
    group_glob, has_group, name_glob = term.partition(":")
    if not has_group:
        return [id_ for id_ in known if fnmatchcase(id_[1], term)]
    return [id_ for id_ in known if fnmatchcase(id_[0], group_glob) and fnmatchcase(id_[1], name_glob or "*")]
