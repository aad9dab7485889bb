"""Orders of start and stop."""

import pytest
from fleet_agent.core.model import GroupSpec, ProcessSpec
from fleet_agent.core.ordering import ordered_processes, start_order, stop_order, stop_waves

pytestmark = pytest.mark.pure


def process(group: str, name: str, priority: int = 999) -> ProcessSpec:
    return ProcessSpec(name, group, "run", priority=priority)


DB = GroupSpec("db", 10, (process("db", "first"), process("db", "second")))
WEB = GroupSpec("web", 999, (process("web", "web"),))
APP = GroupSpec("app", 999, (process("app", "app"),))


def test_groups_start_by_priority_then_name() -> None:
    assert start_order([WEB, APP, DB]) == (DB, APP, WEB)


def test_groups_stop_in_reverse() -> None:
    assert stop_order([WEB, APP, DB]) == (WEB, APP, DB)


def test_processes_of_a_group_start_by_priority_then_as_listed() -> None:
    listed = [process("g", "c"), process("g", "a"), process("g", "b", 1)]
    assert [spec.name for spec in ordered_processes(listed)] == ["b", "c", "a"]


def test_groups_of_one_priority_end_together_and_the_lowest_last() -> None:
    waves = stop_waves([DB, WEB, APP])
    assert [[spec.id for spec in wave] for wave in waves] == [
        ["web:web", "app:app"],
        ["db:second", "db:first"],
    ]
    assert stop_waves([]) == ()
