"""The controller's own values as messages of the wire, and back; `fleet_api.wire` does the same for rows.

Called by `session` for what agents tell, by the rooms above it for what operators are told.
"""

from fleet_api import wire
from fleet_api.v1 import agent_pb2, controller_pb2, types_pb2

from fleet_controller.core import fleet
from fleet_controller.model import Bucket, Position, Reach
from fleet_controller.state import ProcessFact

MOST_REASON = 1000
"""Of what an agent tells; the controller keeps it."""

BUCKETS = {bucket: controller_pb2.HostOutcome.Bucket.Value(bucket.name) for bucket in Bucket}

_REACHES = {reach: controller_pb2.Reachability.State.Value(reach.name) for reach in Reach}


def to_fact(message: agent_pb2.WatchResponse) -> ProcessFact | None:
    """The fact in a message of the watch stream; None for one that this version does not know."""
    match message.WhichOneof("body"):
        case "snapshot":
            snapshot = message.snapshot
            rows = {(row.group, row.name): row for row in snapshot.processes}
            return fleet.SnapshotPart(to_position(snapshot.position), rows, snapshot.last)
        case "event":
            event = message.event
            row = None if event.removed else event.process
            return fleet.Changed(event.sequence, (event.process.group, event.process.name), row)
        case "heartbeat":
            beat = message.heartbeat
            position = to_position(beat.position) if beat.HasField("position") else None
            return fleet.Beat(
                position,
                wire.seconds_of(beat.supervisor_age),
                wire.seconds_of(beat.keeper_age),
                tuple(beat.troubles),
            )
        case "gap":
            return fleet.Missed(message.gap.reason[:MOST_REASON])
        case _:
            return None


def to_position(message: types_pb2.Position) -> Position:
    """The position in a message."""
    return Position(message.agent_id, message.incarnation, message.sequence)


def reachability_message(reach: fleet.Reachability) -> controller_pb2.Reachability:
    """Whether a host answers, since when, and why not."""
    message = controller_pb2.Reachability(state=_REACHES[reach.reach])
    if reach.error is not None:
        message.error.CopyFrom(wire.error_to_proto(reach.error))
    if reach.last_seen is not None:
        message.last_seen_time.CopyFrom(wire.timestamp(reach.last_seen.wall))
    if reach.age_seconds is not None:
        message.age.CopyFrom(wire.duration(reach.age_seconds))
    return message
