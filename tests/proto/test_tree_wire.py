"""Rows with trees survive the way through protobuf and back."""

from typing import Any

import pytest
from fleet_api import tree_wire
from fleet_api.rows import ProcessRow, TreeRow
from fleet_api.v1 import types_pb2
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNT = st.integers(min_value=0, max_value=2**31 - 1)
MEMBERS = st.builds(
    TreeRow,
    pid=COUNT,
    parent=COUNT,
    depth=st.integers(0, 1000),
    command=TEXT,
    state=TEXT,
    cpu_seconds=st.integers(0, 10**9).map(lambda quarters: quarters / 4),
    memory_bytes=st.integers(0, 2**63),
)
ROW = ProcessRow(
    name="web_00",
    group="web",
    state="RUNNING",
    pid=7,
    run=1,
    description="",
    reason="",
    start_time=None,
    state_time=None,
    stop_time=None,
    exit=None,
    failures=0,
    spawn_error="",
    uptime=None,
    stdout_logfile="",
    stderr_logfile="",
    desire=None,
)


def with_tree(tree: list[Any], size: int) -> ProcessRow:
    return ProcessRow(**{**ROW, "tree": tree, "tree_size": size})


@given(st.lists(MEMBERS, min_size=1, max_size=3), st.integers(0, 9))
def test_a_tree_survives(tree: list[TreeRow], more: int) -> None:
    row = with_tree(tree, len(tree) + more)
    message = types_pb2.Process.FromString(tree_wire.process_to_proto(row).SerializeToString())
    assert tree_wire.process_from_proto(message) == row


def test_a_tree_that_was_not_told_is_none() -> None:
    assert tree_wire.process_from_proto(tree_wire.process_to_proto(ROW)) == ROW


def test_a_command_that_is_no_text_is_shown_escaped() -> None:
    member = TreeRow(pid=1, parent=1, depth=0, command="a\udcff", state="S", cpu_seconds=0.0, memory_bytes=0)
    assert tree_wire.process_to_proto(with_tree([member], 1)).tree[0].command == "a\\udcff"
