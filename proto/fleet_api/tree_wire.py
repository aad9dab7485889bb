"""Processes with their descendants, as rows and as protobuf messages: `wire` for `status --tree`."""

from fleet_api import wire
from fleet_api.rows import ProcessRow, TreeRow
from fleet_api.v1 import types_pb2


def process_to_proto(row: ProcessRow) -> types_pb2.Process:
    """The message of a row, its tree included."""
    message = wire.process_to_proto(row)
    message.tree.extend(_member_to_proto(member) for member in row.get("tree", ()))
    message.tree_size = row.get("tree_size", 0)
    return message


def process_from_proto(message: types_pb2.Process) -> ProcessRow:
    """The row of a message; the inverse of `process_to_proto`."""
    row = wire.process_from_proto(message)
    if message.tree_size:
        row["tree"] = [_member_from_proto(member) for member in message.tree]
        row["tree_size"] = message.tree_size
    return row


def _member_to_proto(row: TreeRow) -> types_pb2.TreeProcess:
    return types_pb2.TreeProcess(
        pid=row["pid"],
        parent_pid=row["parent"],
        depth=row["depth"],
        command=wire.clean(row["command"]),
        state=wire.clean(row["state"]),
        cpu_duration=wire.duration(row["cpu_seconds"]),
        memory_bytes=row["memory_bytes"],
    )


def _member_from_proto(message: types_pb2.TreeProcess) -> TreeRow:
    return TreeRow(
        pid=message.pid,
        parent=message.parent_pid,
        depth=message.depth,
        command=message.command,
        state=message.state,
        cpu_seconds=wire.seconds_of(message.cpu_duration),
        memory_bytes=message.memory_bytes,
    )
