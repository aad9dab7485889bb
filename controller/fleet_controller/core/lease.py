"""How long a host that was heard counts as alive; times come in.

Called by `fleet` for every answer about a host, and by `session` to end a silent stream.
"""

from fleet_controller.model import Reach

LATE_BEATS = 1.5
LOST_BEATS = 3.0


def judge(last_beat: float | None, now: float, heartbeat_seconds: float) -> Reach:
    """Judge a host by the monotonic time of its last beat; None: it was never heard.

    A beat is late after 1.5 heartbeats, and the host is lost after 3.
    """
    if last_beat is None:
        return Reach.UNREACHABLE
    age = now - last_beat
    if age <= LATE_BEATS * heartbeat_seconds:
        return Reach.CONNECTED
    return Reach.LATE if age <= lost_after(heartbeat_seconds) else Reach.UNREACHABLE


def lost_after(heartbeat_seconds: float) -> float:
    """Seconds of silence after which a host is lost."""
    return LOST_BEATS * heartbeat_seconds
