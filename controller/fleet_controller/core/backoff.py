"""How long to wait before the next attempt to reach a host; called by `session`."""

FIRST_SECONDS = 0.2
CAP_SECONDS = 10.0
ATTEMPTS_PER_SECOND = 25.0
"""What a fleet of unreachable hosts may cost the controller."""


def longest_pause(host_count: int) -> float:
    """The cap in seconds: 10 for small fleets, growing so that all hosts together stay affordable."""
    return max(CAP_SECONDS, host_count / ATTEMPTS_PER_SECOND)


def pause(failures: int, host_count: int, dice: float) -> float:
    """Seconds to wait after this many failed attempts in a row, with full jitter.

    `dice` is a random number in [0, 1).
    """
    doublings = min(max(failures, 1) - 1, 30)
    return dice * min(longest_pause(host_count), FIRST_SECONDS * 2.0**doublings)
