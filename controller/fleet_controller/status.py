"""What operators are told of a host: from memory, each with its age, and never a lost host as running.

Called by `service`.
"""

from collections.abc import Iterator, Mapping, Sequence

from fleet_api import rows, wire
from fleet_api.errors import Unavailable
from fleet_api.selection import select
from fleet_api.unreachable import SILENT_HINT
from fleet_api.v1 import controller_pb2, types_pb2

from fleet_controller.config import Config
from fleet_controller.core import fleet, outcome
from fleet_controller.messages import BUCKETS, reachability_message
from fleet_controller.model import Bucket, Moment, Position, Reach
from fleet_controller.session import REPLACEMENT_SECONDS
from fleet_controller.state import FleetState

AT_LEAST_SECONDS = 1.0
"""How long a read after a write waits for the controller's copy before it is marked as behind."""

ROWS_A_MESSAGE = 1000
BYTES_A_MESSAGE = 1024 * 1024


class StatusTeller:
    """One request for status: which processes, and what the copy must contain by agent id."""

    def __init__(
        self, state: FleetState, config: Config, terms: Sequence[str], wanted: Mapping[str, Position]
    ) -> None:
        self._state = state
        self._config = config
        self._terms = terms
        self._wanted = wanted
        self._begun = state.clock()

    def seconds_until_told(self, name: str) -> float:
        """How long an answer about this host may still wait for better knowledge; 0: tell it now."""
        view = self._state.view(name)
        now = self._state.clock().monotonic
        if view.link is fleet.Link.CONNECTING:
            return self._begun.monotonic + self._config.connect_timeout - now
        if view.link is fleet.Link.DOWN:
            # Lost a moment ago: most likely its gateway is being replaced.
            return 0.0 if view.lost_at is None else view.lost_at.monotonic + REPLACEMENT_SECONDS - now
        host = self._state.host(name)
        position = self._wanted.get(host.host_id) if host is not None else None
        if position is None or fleet.has_reached(view, position):
            return 0.0
        return self._begun.monotonic + AT_LEAST_SECONDS - now

    def status(self, name: str) -> Iterator[controller_pb2.HostStatus]:
        """The messages about one host, as it stands now; more than one only for very many processes."""
        now = self._state.clock()
        view = self._state.view(name)
        reach = _reachability(self._state, name, now, self._config.heartbeat)
        message = controller_pb2.HostStatus(
            host=name, bucket=BUCKETS[Bucket.OK], reachability=reachability_message(reach)
        )
        if view.position is not None:
            message.position.agent_id = view.position.agent_id
            message.position.incarnation = view.position.incarnation
            message.position.sequence = view.position.sequence
        message.troubles.extend(view.troubles)
        if reach.reach not in (Reach.CONNECTED, Reach.LATE):
            error = reach.error or _still_connecting(name)
            message.bucket = BUCKETS[outcome.of_error(error, is_change=False, was_sent=False)]
            message.error.CopyFrom(wire.error_to_proto(error))
            chosen, _ = select(self._terms or ["all"], view.processes)
            yield from _in_messages(message, [_as_unknown(view.processes[id_].row) for id_ in chosen])
            return
        host = self._state.host(name)
        position = self._wanted.get(host.host_id) if host is not None else None
        message.behind = position is not None and not fleet.has_reached(view, position)
        chosen, errors = select(self._terms or ["all"], view.processes)
        message.errors.extend(wire.error_to_proto(error) for error in errors)
        yield from _in_messages(message, [_as_of_now(view.processes[id_], now.monotonic) for id_ in chosen])


def host_message(state: FleetState, name: str, heartbeat_seconds: float) -> controller_pb2.Host:
    """A host of the inventory with what is known of it."""
    host = state.inventory.hosts[name]
    view = state.view(name)
    message = controller_pb2.Host(
        name=name,
        address=host.address,
        groups=host.groups,
        labels=dict(host.labels),
        reachability=reachability_message(_reachability(state, name, state.clock(), heartbeat_seconds)),
        agent_version=view.agent_version,
        gap_count=view.gaps,
    )
    if view.last_gap is not None:
        message.last_gap_reason = view.last_gap.reason
        message.last_gap_time.CopyFrom(wire.timestamp(view.last_gap.at.wall))
    return message


def _reachability(state: FleetState, name: str, now: Moment, heartbeat_seconds: float) -> fleet.Reachability:
    if state.host(name) is None:
        gone = Unavailable("HOST_REMOVED", f"{name} has left the inventory")
        return fleet.Reachability(Reach.UNREACHABLE, gone, None, None)
    return fleet.reachability(name, state.view(name), now.monotonic, heartbeat_seconds)


def _still_connecting(name: str) -> Unavailable:
    return Unavailable(
        "NOT_ANSWERING",
        f"{name} is being dialled and has not answered yet",
        SILENT_HINT,
    )


def _in_messages(
    first: controller_pb2.HostStatus, processes: Sequence[types_pb2.Process]
) -> Iterator[controller_pb2.HostStatus]:
    """The message with the processes, and as many more like it as they need."""
    chunks = list(wire.size_bounded(processes, BYTES_A_MESSAGE, ROWS_A_MESSAGE))
    for number, chunk in enumerate(chunks, 1):
        message = controller_pb2.HostStatus()
        message.CopyFrom(first)
        if number > 1:
            message.ClearField("errors")
            message.ClearField("troubles")
        message.processes.extend(chunk)
        message.more = number < len(chunks)
        yield message


def _as_unknown(row: types_pb2.Process) -> types_pb2.Process:
    """A process of a host that does not answer: it is known to be there, and nothing else."""
    was = types_pb2.Process.State.Name(row.state) if row.state in types_pb2.Process.State.values() else ""
    return types_pb2.Process(
        name=row.name,
        group=row.group,
        state=types_pb2.Process.UNKNOWN,
        run=row.run,
        description=f"was {was}" if was else "",
        reason="the host does not answer",
    )


def _as_of_now(held: fleet.Held[types_pb2.Process], now: float) -> types_pb2.Process:
    """The process with what grows by itself as of now: by the agent's own clock, and our waiting since."""
    row = types_pb2.Process()
    row.CopyFrom(held.row)
    if not row.HasField("uptime"):
        return row
    uptime = row.uptime
    total = uptime.seconds + uptime.nanos / wire.NANOS + max(0.0, now - held.at)
    uptime.seconds = whole = int(total)
    uptime.nanos = int((total - whole) * wire.NANOS)
    if row.state == types_pb2.Process.RUNNING and row.pid:
        row.description = rows.aged_description(row.description, row.pid, total)
    return row
