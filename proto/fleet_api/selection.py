"""Which processes an operator means.

    name          the process of the group of the same name
    group:name    one process
    group:*       a whole group, also written `group:`
    all           everything, wherever it stands among the terms
    we*  g:web_?  globs (`*`, `?`, `[]`) on the name as shown, or on either part

Called by the supervisor for each change, and for each read by whoever answers it from a copy: gateway and
controller. `ids` come in the order in which they are to be matched.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from fleet_api.errors import BadRequest, FleetError, NotFound
from fleet_api.rows import display_name

Id = tuple[str, str]
"""Group and name of a process."""

MAX_TERMS = 10_000
MAX_PATTERNS = 100
"""Each is compared with every name, and nothing else happens meanwhile."""

_MAX_SHOWN = 80


class Selection(NamedTuple):
    """`matched` without duplicates, term by term; one error in `unknown` for each term that means nothing."""

    matched: tuple[Id, ...]
    unknown: tuple[FleetError, ...]


def select(terms: Sequence[str], ids: Iterable[Id]) -> Selection:
    """The processes that the terms mean.

    Raises: BadRequest when there are so many that everybody else would have to wait.
    """
    patterns = sum(1 for term in terms if _is_glob(term))
    if len(terms) > MAX_TERMS or patterns > MAX_PATTERNS:
        raise BadRequest(
            "TOO_MANY_TERMS",
            f"{len(terms)} terms, of which {patterns} are patterns;"
            f" at most {MAX_TERMS} and {MAX_PATTERNS} are taken at once",
            "use fewer patterns, or `all`",
        )
    known = dict.fromkeys(ids)
    if "all" in terms:
        return Selection(tuple(known), ())
    matched: dict[Id, None] = {}
    unknown: list[FleetError] = []
    for term in dict.fromkeys(terms):
        found = _matches(term, known)
        matched.update(dict.fromkeys(found))
        if not found:
            unknown.append(_no_such(term, known))
    return Selection(tuple(matched), tuple(unknown))


def _matches(term: str, known: dict[Id, None]) -> list[Id]:
    group, colon, name = term.partition(":")
    exact = (group, name) if colon else (term, term)
    if exact in known:
        return [exact]
    if colon:
        name = name or "*"
        return [id_ for id_ in known if _fits(id_[0], group) and _fits(id_[1], name)]
    if _is_glob(term):
        return [id_ for id_ in known if fnmatchcase(display_name(*id_), term)]
    return []


def _fits(text: str, pattern: str) -> bool:
    return text == pattern or (_is_glob(pattern) and fnmatchcase(text, pattern))


def _is_glob(text: str) -> bool:
    return any(letter in text for letter in "*?[")


def _no_such(term: str, known: dict[Id, None]) -> NotFound:
    """What to say of a term that means nothing, with what was probably meant."""
    shown = term if len(term) <= _MAX_SHOWN else term[:_MAX_SHOWN] + "…"
    group, colon, name = shown.partition(":")
    if colon and name in ("", "*"):
        return NotFound("NO_SUCH_GROUP", f"{group}: no such group", "fleetctl status shows all groups")
    return NotFound("NO_SUCH_PROCESS", f"{shown}: no such process", _hint(term, known))


def _hint(term: str, known: dict[Id, None]) -> str:
    if any(group == term for group, _ in known):
        return f'"{term}:*" means the whole group'
    same_name = [f'"{display_name(*id_)}"' for id_ in known if id_[1] == term]
    if same_name:
        return f"did you mean {' or '.join(same_name[:3])}?"
    return "fleetctl status shows all processes"
