"""Numbers and how they are told: medians, percentiles, ratios, tables, targets and whether they hold."""

import math
from collections.abc import Sequence
from typing import NamedTuple


class Verdict(NamedTuple):
    """One target beside what was measured."""

    what: str
    measured: str
    target: str
    holds: bool

    def __str__(self) -> str:
        return f"{'holds ' if self.holds else 'MISSED'}  {self.what}: {self.measured} (target {self.target})"


def at_most(what: str, measured: float, limit: float, unit: str) -> Verdict:
    """Whether a figure stays within its limit; no figure (nan) does not."""
    return Verdict(
        what, f"{number(measured)} {unit}".strip(), f"at most {limit:g} {unit}".strip(), measured <= limit
    )


def at_least(what: str, measured: float, limit: float, unit: str = "times") -> Verdict:
    """Whether a figure reaches its limit."""
    return Verdict(what, f"{number(measured)} {unit}", f"at least {limit:g} {unit}", measured >= limit)


def median(values: Sequence[float]) -> float:
    """The middle value; nan of nothing."""
    return percentile(values, 0.5)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share (0 to 1) of the values lies; nan of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def ratio(more: float, less: float) -> float:
    """How many times `more` is `less`; infinite where `less` is nothing."""
    return more / less if less else math.inf


def number(value: float) -> str:
    """A figure with three digits that mean something."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "inf"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 6)}f}"


def times(value: float) -> str:
    """A ratio."""
    return f"{number(value)}x"


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns under their headers: the first to the left, figures to the right."""
    widths = [max(len(row[column]) for row in [headers, *rows]) for column in range(len(headers))]
    lines = []
    for row in [headers, *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        cells[0] = row[0].ljust(widths[0])
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)
