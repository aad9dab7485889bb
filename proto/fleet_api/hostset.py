"""Host expressions: `web[1-20],@db ! db3`, from text to names and back.

The algebra that operators know from ClusterShell: `,` or a blank adds, `!` takes away, `&` keeps what
both have, `^` what only one has, strictly from left to right. `@name` asks for a group, `*` and `?`
match known names. fleetctl and the controller call `parse`; whoever prints hosts calls `fold`.
"""

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple, NoReturn

from fleet_api import hostrange
from fleet_api.errors import BadRequest, NotFound
from fleet_api.hostfold import fold
from fleet_api.hostrange import refuse, shown

__all__ = ["MAX_EXPRESSION_CHARACTERS", "MAX_NAMES", "expand", "fold", "parse"]

MAX_EXPRESSION_CHARACTERS = 64 * 1024
MAX_NAMES = 1_000_000

GroupResolver = Callable[[str], Iterable[str]]
"""The hosts of a group; raises KeyError or NotFound for a name it does not know."""

_Names = dict[str, None]
"""An ordered set."""

_BLANKS = re.compile(r"[ \t\r\n]+")
_OPERAND = re.compile(r"(?:[^\[\], \t\r\n!&^]|\[[^\]]*\])+")


def parse(expression: str, *, groups: GroupResolver | None = None, known: Iterable[str] = ()) -> list[str]:
    """The names that an expression means, each once, in the order in which it names them.

    A plain name need not be known: whether there is such a host is the caller's question. An added
    group or glob that gives nothing is refused, and so is an expression that leaves no host at all.

    Raises: BadRequest, with the column and the value, on anything that is no expression or too large.
    """
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        raise BadRequest(
            "HOST_EXPRESSION_TOO_LARGE",
            f"a host expression of {len(expression)} characters; the limit is {MAX_EXPRESSION_CHARACTERS}",
            "fold the names into ranges or name a group",
        )
    evaluation = _Evaluation(groups, list(dict.fromkeys(known)))
    chosen: _Names = {}
    for operand in _operands(expression):
        _OPERATORS[operand.operator](chosen, evaluation.names(operand))
    if not chosen:
        raise BadRequest(
            "EMPTY_HOST_SET",
            f"host expression {shown(expression)} leaves no host",
            "operators work from left to right: a,b!a is b",
        )
    return list(chosen)


def expand(pattern: str) -> list[str]:
    """The names of ranges and their algebra alone: the inverse of `fold`.

    Raises: BadRequest as `parse`; no group and no name for a glob is known here.
    """
    return parse(pattern)


class _Operand(NamedTuple):
    operator: str
    text: str
    column: int


def _operands(expression: str) -> Iterator[_Operand]:
    """Each operand with the operator before it; the first one adds."""
    at = 0
    operator, operator_column = "", 1
    is_first = True
    while at < len(expression):
        blank = _BLANKS.match(expression, at)
        if blank:
            at = blank.end()
            continue
        character = expression[at]
        if character in _OPERATORS:
            if is_first or operator:
                _refuse_missing(at + 1, character, "before")
            operator, operator_column = character, at + 1
            at += 1
            continue
        match = _OPERAND.match(expression, at)
        if match is None:
            _refuse_bracket(expression, at)
        yield _Operand(operator or ",", match.group(), at + 1)
        is_first = False
        operator = ""
        at = match.end()
    if operator:
        _refuse_missing(operator_column, operator, "after")
    if is_first:
        raise BadRequest("EMPTY_HOST_SET", "the host expression is empty", "name hosts: web[1-20] or @group")


def _refuse_missing(column: int, operator: str, side: str) -> NoReturn:
    refuse(column, f"nothing stands {side} {operator!r}", "an operator joins two sets of hosts: web* ! web3")


def _refuse_bracket(expression: str, at: int) -> NoReturn:
    if expression[at] == "]":
        refuse(at + 1, "']' closes no bracket")
    refuse(at + 1, f"{shown(expression[at:])} is never closed", "add the missing ]")


class _Evaluation:
    """What one expression may ask: groups, known names, and how many names in all."""

    def __init__(self, groups: GroupResolver | None, known: list[str]) -> None:
        self._groups = groups
        self._known = known
        self._left = MAX_NAMES

    def names(self, operand: _Operand) -> _Names:
        """The names of one operand."""
        is_group = operand.text.startswith("@")
        text = operand.text[1:] if is_group else operand.text
        column = operand.column + is_group
        if is_group and not text:
            refuse(operand.column, "'@' without the name of a group")
        pieces = hostrange.parse_pattern(text, column)
        self._spend(hostrange.count(pieces, self._left), operand)
        found: _Names = {}
        if is_group:
            for group in hostrange.names(pieces):
                found.update(dict.fromkeys(self._group(group, operand)))
        elif any(isinstance(piece, str) and ("*" in piece or "?" in piece) for piece in pieces):
            for glob in hostrange.names(pieces):
                self._spend(len(self._known), operand)
                matches = re.compile(fnmatch.translate(glob)).match
                found.update(dict.fromkeys(name for name in self._known if matches(name)))
        else:
            return dict.fromkeys(hostrange.names(pieces))
        if not found and operand.operator == ",":
            what = "group" if is_group else "pattern"
            raise BadRequest(
                "NO_HOST_MATCHES",
                f"host expression, column {operand.column}: {what} {shown(operand.text)} gives no host",
                "`fleetctl hosts` lists what is known",
            )
        return found

    def _group(self, name: str, operand: _Operand) -> Collection[str]:
        hint = "`fleetctl hosts` lists hosts with their groups"
        if name == "*":
            self._spend(len(self._known), operand)
            return self._known
        try:
            if self._groups is None:
                raise KeyError(name)
            hosts = list(self._groups(name))
        except (KeyError, NotFound) as error:
            raise BadRequest(
                "UNKNOWN_HOST_GROUP",
                f"host expression, column {operand.column}: there is no group {shown(name)}",
                getattr(error, "hint", "") or hint,
            ) from error
        self._spend(len(hosts), operand)
        return hosts

    def _spend(self, names: int, operand: _Operand) -> None:
        self._left -= names
        if self._left < 0:
            raise BadRequest(
                "HOST_EXPRESSION_TOO_LARGE",
                f"host expression, column {operand.column}: with {shown(operand.text)} it goes through"
                f" more than {MAX_NAMES:,} names",
                "write smaller ranges, or name a group",
            )


def _add(chosen: _Names, names: _Names) -> None:
    chosen.update(names)


def _take_away(chosen: _Names, names: _Names) -> None:
    for name in names:
        chosen.pop(name, None)


def _keep_common(chosen: _Names, names: _Names) -> None:
    for name in [name for name in chosen if name not in names]:
        del chosen[name]


def _keep_exclusive(chosen: _Names, names: _Names) -> None:
    for name in names:
        if name in chosen:
            del chosen[name]
        else:
            chosen[name] = None


_OPERATORS: dict[str, Callable[[_Names, _Names], None]] = {
    ",": _add,
    "!": _take_away,
    "&": _keep_common,
    "^": _keep_exclusive,
}
"""Each changes the set in place: a long chain of operators costs no more than the names it writes."""
