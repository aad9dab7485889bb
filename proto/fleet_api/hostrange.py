"""One host pattern: literal text and bracketed ranges, `dc[1-2]n[01-08/2]`, as the names it stands for.

No sets, groups or globs here: `hostset` cuts an expression into patterns and calls this for each.
Sizes are counted before anything is expanded, so that a short text cannot ask for endless names.
"""

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from fleet_api.errors import BadRequest

MAX_DIGITS = 18
MAX_NAME_CHARACTERS = 253
"""The longest name that DNS carries."""

_ITEM = re.compile(r"(?P<first>[0-9]+)(?:-(?P<last>[0-9]+)(?:/(?P<step>[0-9]+))?)?\Z")
_FORBIDDEN = re.compile(r"[^!-~]|[,!&^\[\]@]")
"""No name contains these: blanks, controls, what is not ASCII, and what an expression is made of."""


class Range(NamedTuple):
    """Numbers from `first` to `last`, both included; written with at least `width` digits."""

    first: int
    last: int
    step: int
    width: int

    def __len__(self) -> int:
        return (self.last - self.first) // self.step + 1

    def texts(self) -> Iterator[str]:
        """Each number as it stands in a name."""
        width = self.width
        return (f"{number:0{width}d}" for number in range(self.first, self.last + 1, self.step))


Piece = str | tuple[Range, ...]


def refuse(column: int, what: str, hint: str = "") -> NoReturn:
    """Raise BadRequest for a mistake at this place of an expression; columns count from 1."""
    raise BadRequest("BAD_HOST_EXPRESSION", f"host expression, column {column}: {what}", hint)


def forbidden_character(text: str) -> int | None:
    """The index of the first character that no host name contains; None when all are allowed."""
    found = _FORBIDDEN.search(text)
    return found.start() if found else None


def parse_pattern(text: str, column: int) -> list[Piece]:
    """Literal texts and brackets of a pattern that begins at `column`.

    Raises: BadRequest with the column of the mistake.
    """
    pieces: list[Piece] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            end = text.find("]", at)
            if end < 0:
                refuse(column + at, f"{shown(text[at:])} is never closed", "add the missing ]")
            pieces.append(_parse_bracket(text[at + 1 : end], column + at + 1))
            at = end + 1
        else:
            end = text.find("[", at)
            literal = text[at:] if end < 0 else text[at:end]
            bad = forbidden_character(literal)
            if bad is not None:
                refuse(column + at + bad, f"{literal[bad]!r} cannot stand in a host name")
            pieces.append(literal)
            at += len(literal)
    length = sum(len(piece) if isinstance(piece, str) else _longest(piece) for piece in pieces)
    if length > MAX_NAME_CHARACTERS:
        refuse(
            column, f"{shown(text)} gives names of {length} characters; the limit is {MAX_NAME_CHARACTERS}"
        )
    return pieces


def count(pieces: list[Piece], limit: int) -> int:
    """How many names the pattern stands for; any number beyond `limit` when there are more."""
    total = 1
    for piece in pieces:
        if not isinstance(piece, str):
            total *= sum(map(Range.__len__, piece))
            if total > limit:
                break
    return total


def names(pieces: list[Piece]) -> Iterator[str]:
    """Every name of the pattern, the last bracket running fastest; repeated where ranges overlap."""
    choices = [
        [piece] if isinstance(piece, str) else [text for part in piece for text in part.texts()]
        for piece in pieces
    ]
    return map("".join, itertools.product(*choices))


def shown(text: str) -> str:
    """A value as an error shows it: quoted, and cut when it is long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _longest(ranges: tuple[Range, ...]) -> int:
    return max(max(part.width, len(str(part.last))) for part in ranges)


def _parse_bracket(text: str, column: int) -> tuple[Range, ...]:
    ranges: list[Range] = []
    at = 0
    for item in text.split(","):
        leading = len(item) - len(item.lstrip(" \t"))
        ranges.append(_parse_range(item.strip(" \t"), column + at + leading))
        at += len(item) + 1
    return tuple(ranges)


def _parse_range(item: str, column: int) -> Range:
    if not item:
        refuse(column, "a range is empty", "write numbers between the brackets: web[1-20]")
    if "[" in item:
        refuse(column + item.index("["), "brackets do not nest", "write dc[1-2]n[1-8] for two dimensions")
    match = _ITEM.match(item)
    if match is None:
        refuse(column, f"{shown(item)} is no range", "a range is 5, 1-20, 01-20 or 2-6/2")
    first, last, step = match["first"], match["last"] or match["first"], match["step"] or "1"
    if max(len(first), len(last), len(step)) > MAX_DIGITS:
        refuse(column, f"{shown(item)} has a number of more than {MAX_DIGITS} digits")
    padded = [text for text in (first, last) if len(text) > 1 and text[0] == "0"]
    if padded and len(first) != len(last):
        width = max(len(first), len(last))
        refuse(
            column,
            f"{shown(item)} has ends of different widths",
            f"write {first.zfill(width)}-{last.zfill(width)} or {int(first)}-{int(last)}",
        )
    found = Range(int(first), int(last), int(step), len(first) if padded else 0)
    if found.step == 0:
        refuse(column, f"{shown(item)} has a step of 0")
    if found.last < found.first:
        refuse(column, f"{shown(item)} runs backwards", f"write {last}-{first}")
    return found
