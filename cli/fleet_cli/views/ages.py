"""How long ago, in the words of a glance."""

from collections.abc import Iterable

from fleet_cli.answers import Reachability

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def age_text(seconds: float) -> str:
    """`12s ago`, `4m ago`, `3h ago`, `2d ago`; less than a second is `now`."""
    for unit, letter in _UNITS:
        if seconds >= unit:
            return f"{int(seconds // unit)}{letter} ago"
    return "now"


def since(reachability: Reachability | None, now: float) -> float | None:
    """Seconds since the host was last heard; None when never or not known.

    The controller's own measure is preferred: its clock and ours may differ.
    """
    if reachability is None:
        return None
    if reachability.age_seconds is not None:
        return reachability.age_seconds
    if reachability.last_seen_time is not None:
        return max(0.0, now - reachability.last_seen_time)
    return None


def seen_text(reachabilities: Iterable[Reachability], now: float) -> str:
    """`(last seen 4m ago)`, `(last seen 4m ago to 2d ago, 3 never seen)`; nothing for no host."""
    ages = [since(reachability, now) for reachability in reachabilities]
    seen = sorted(age for age in ages if age is not None)
    never = len(ages) - len(seen)
    parts = []
    if seen:
        first, last = age_text(seen[0]), age_text(seen[-1])
        parts.append(f"last seen {first}" if first == last else f"last seen {first} to {last}")
    if never:
        parts.append(f"{never} never seen" if seen else "never seen")
    return f"({', '.join(parts)})" if parts else ""
