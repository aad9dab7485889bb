"""Text for a terminal: made harmless, measured in columns, padded, coloured, wrapped."""

import re
from collections.abc import Iterable
from unicodedata import combining, east_asian_width

_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")
_OUTER_COMMA = re.compile(r",(?![^\[]*\])")

COLOURS = {"green": "32", "yellow": "33", "red": "31", "magenta": "35", "dim": "2", "bold": "1"}

STATE_COLOURS = {
    "RUNNING": "green",
    "STARTING": "yellow",
    "STOPPING": "yellow",
    "BACKOFF": "yellow",
    "FATAL": "red",
    "UNKNOWN": "red",
    "FAILED": "red",
    "REFUSED": "red",
    "UNREACHABLE": "magenta",
    "TIMED OUT": "magenta",
    "LATE": "yellow",
    "connected": "green",
    "late": "yellow",
    "connecting": "yellow",
    "unreachable": "magenta",
}


def shown(text: str) -> str:
    r"""The text with control characters written out: what a host sends must not steer the terminal."""
    if text.isascii() and text.isprintable():
        return text
    return _HIDDEN.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)


def columns(text: str) -> int:
    """Columns that a terminal gives to a text without control characters."""
    if text.isascii():
        return len(text)
    return sum(
        0 if combining(character) else 2 if east_asian_width(character) in "WF" else 1 for character in text
    )


def pad(text: str, width: int, *, right: bool = False) -> str:
    """The text filled up with blanks to `width` columns."""
    blanks = " " * (width - columns(text))
    return blanks + text if right else text + blanks


def paint(text: str, colour: str, has_colour: bool) -> str:
    """The text in a colour of `COLOURS`; an empty name leaves it plain."""
    if not has_colour or not colour:
        return text
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


def wrap(pieces: Iterable[str], separator: str, width: int | None) -> list[str]:
    """Lines of at most `width` columns (where the pieces allow it), broken between pieces."""
    lines: list[str] = []
    line = ""
    for piece in pieces:
        if not line:
            line = piece
        elif width is not None and columns(line) + columns(separator) + columns(piece) > width:
            lines.append(line + separator.rstrip())
            line = piece
        else:
            line += separator + piece
    return [*lines, line] if line else lines


def wrap_hosts(folded: str, width: int | None, max_lines: int = 4) -> list[str]:
    """A folded host set in lines; what does not fit into `max_lines` is counted, not shown."""
    pieces = _OUTER_COMMA.split(folded)
    lines = wrap(pieces, ",", width)
    if width is None or len(lines) <= max_lines:
        return lines
    kept = lines[:max_lines]
    left = len(pieces) - sum(len(_OUTER_COMMA.split(line.rstrip(","))) for line in kept)
    return [*kept, f"... {left} more, all with -o wide"]


def wrap_words(text: str, width: int | None) -> list[str]:
    """A sentence in lines."""
    return wrap(text.split(), " ", width) or [""]
