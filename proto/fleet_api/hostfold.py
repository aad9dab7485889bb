"""Names as one short text: `web1, web2, db01` become `db01,web[1-2]`.

The inverse of expanding: `hostset` offers it as `fold`. Numbers are compared as they are written, so
padding survives. Each name is looked at once for each number in it, and never at another name.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from fleet_api.errors import BadRequest
from fleet_api.hostrange import MAX_DIGITS, forbidden_character, shown

_MAX_DIMENSIONS = 6
"""Numbers of a name that fold, counted from its end; those before are plain text."""

_NUMBER = re.compile(rf"([0-9]{{1,{MAX_DIGITS}}})")

_Row = tuple[str, ...]
"""The numbers of a name; a folded dimension stands there in its final form, `[1-3,5]`."""


def fold(names: Iterable[str]) -> str:
    """The expression that means exactly these names, in natural order; empty for no names.

    Dimensions fold one after the other, the last number first: a full grid becomes one pattern.

    Raises: BadRequest for a name that no expression can mean, such as `a,b`.
    """
    templates: dict[_Row, set[_Row]] = defaultdict(set)
    for name in names:
        bad = forbidden_character(name)
        if bad is not None or not name or "*" in name or "?" in name:
            raise BadRequest("BAD_HOST_NAME", f"{shown(name)} cannot be the name of a host")
        parts = _NUMBER.split(name)
        surplus = len(parts) - 1 - 2 * _MAX_DIMENSIONS
        if surplus > 0:
            parts[: surplus + 1] = ["".join(parts[: surplus + 1])]
        templates[tuple(parts[0::2])].add(tuple(parts[1::2]))
    patterns = [
        (_natural_key(pattern), pattern)
        for literals, rows in templates.items()
        for pattern in _fold_template(literals, rows)
    ]
    return ",".join(pattern for _, pattern in sorted(patterns))


def _fold_template(literals: _Row, rows: set[_Row]) -> Iterable[str]:
    """Patterns of names that differ in their numbers alone."""
    for dimension in reversed(range(len(literals) - 1)):
        if len(rows) == 1:
            break
        values: dict[tuple[_Row, _Row], list[str]] = defaultdict(list)
        for row in rows:
            values[row[:dimension], row[dimension + 1 :]].append(row[dimension])
        rows = {(*before, _bracket(found), *after) for (before, after), found in values.items()}
    for row in rows:
        yield "".join(text for pair in zip(literals, (*row, ""), strict=True) for text in pair)


def _bracket(values: list[str]) -> str:
    """One value as it is, several as `[1-3,5]`."""
    if len(values) == 1:
        return values[0]
    padded_widths = {len(value) for value in values if value[0] == "0" and len(value) > 1}
    numbers = sorted(
        (len(value) if len(value) in padded_widths else 0, int(value), value) for value in values
    )
    ranges: list[list[str]] = []
    previous = None
    for width, number, value in numbers:
        if previous == (width, number - 1):
            ranges[-1][1:] = [value]
        else:
            ranges.append([value])
        previous = (width, number)
    return f"[{','.join('-'.join(ends) for ends in ranges)}]"


def _natural_key(pattern: str) -> list[tuple[str, int]]:
    """Sorts web2 before web10, and a bracket by its first number."""
    parts = _NUMBER.split(pattern.replace("[", ""))
    texts, numbers = parts[0::2], [*parts[1::2], "-1"]
    return [(text, int(number)) for text, number in zip(texts, numbers, strict=True)]
