"""Messages of the watch stream as facts."""

import pytest
from fleet_api import wire
from fleet_api.v1 import agent_pb2, types_pb2
from fleet_controller.core import fleet
from fleet_controller.messages import to_fact
from fleet_controller.model import Position

pytestmark = pytest.mark.pure

WHERE = types_pb2.Position(agent_id="web1", incarnation="one", sequence=7)
CAT = types_pb2.Process(name="cat", group="cat", state=types_pb2.Process.RUNNING)


@pytest.mark.parametrize(
    ("message", "fact"),
    [
        (
            agent_pb2.WatchResponse(snapshot=agent_pb2.Snapshot(position=WHERE, processes=[CAT], last=True)),
            fleet.SnapshotPart(Position("web1", "one", 7), {("cat", "cat"): CAT}, True),
        ),
        (
            agent_pb2.WatchResponse(event=types_pb2.ProcessEvent(sequence=8, process=CAT)),
            fleet.Changed(8, ("cat", "cat"), CAT),
        ),
        (
            agent_pb2.WatchResponse(event=types_pb2.ProcessEvent(sequence=8, process=CAT, removed=True)),
            fleet.Changed(8, ("cat", "cat"), None),
        ),
        (
            agent_pb2.WatchResponse(
                heartbeat=agent_pb2.Heartbeat(position=WHERE, supervisor_age=wire.duration(1.5))
            ),
            fleet.Beat(Position("web1", "one", 7), 1.5),
        ),
        (agent_pb2.WatchResponse(heartbeat=agent_pb2.Heartbeat()), fleet.Beat(None, 0.0)),
        (agent_pb2.WatchResponse(gap=agent_pb2.Gap(asked=WHERE, reason="why")), fleet.Missed("why")),
        (agent_pb2.WatchResponse(), None),
    ],
)
def test_every_message_of_the_stream_is_a_fact(message: agent_pb2.WatchResponse, fact: object) -> None:
    assert to_fact(message) == fact
