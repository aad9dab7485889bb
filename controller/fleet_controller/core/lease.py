"""How long a host that was heard counts as alive; times come in, words come out.

Called by `fleet` for every answer about a host, and by `sessions` to end a silent stream.
"""

from dataclasses import dataclass

from fleet_controller.model import Reach

LATE_BEATS = 1.5
LOST_BEATS = 3.0


@dataclass(frozen=True, slots=True)
class Lease:
    """The judgement on one host: its reach, the age of the last beat in seconds, and words for people."""

    reach: Reach
    age_seconds: float
    words: str


def judge(last_beat: float | None, now: float, heartbeat_seconds: float) -> Lease:
    """Judge a host by the monotonic time of its last beat; None: it was never heard.

    A beat is late after 1.5 heartbeats, and the host is lost after 3.
    """
    if last_beat is None:
        return Lease(Reach.UNREACHABLE, 0.0, "never answered")
    age = max(0.0, now - last_beat)
    if age <= LATE_BEATS * heartbeat_seconds:
        return Lease(Reach.CONNECTED, age, "answers")
    if age <= LOST_BEATS * heartbeat_seconds:
        return Lease(Reach.LATE, age, f"late: last answer {in_words(age)} ago")
    return Lease(Reach.UNREACHABLE, age, f"no answer since {in_words(age)}")


def lost_after(heartbeat_seconds: float) -> float:
    """Seconds of silence after which a host is lost."""
    return LOST_BEATS * heartbeat_seconds


def in_words(seconds: float) -> str:
    """A duration as people say it: `0.4 s`, `7 s`, `4 min`, `3 h`, `2 days`."""
    if seconds < 1:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{int(seconds)} s"
    if seconds < 7200:
        return f"{int(seconds // 60)} min"
    if seconds < 172800:
        return f"{int(seconds // 3600)} h"
    return f"{int(seconds // 86400)} days"
