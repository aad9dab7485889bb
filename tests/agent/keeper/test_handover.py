"""The table of a change of version: total, and nothing is let go of before its successor is there."""

import itertools
import socket

import pytest
from fleet_agent.keeper.handover import TABLE, Action, Event, Handover, Stage
from fleet_agent.link.messages import Replace

pytestmark = pytest.mark.pure


def test_the_table_is_total() -> None:
    assert set(TABLE) == set(itertools.product(Stage, Event))


def test_the_present_one_leaves_only_once_the_next_is_prepared() -> None:
    for (stage, event), action in TABLE.items():
        if action is Action.ASK_TO_YIELD:
            assert (stage, event) == (Stage.PREPARING, Event.PREPARED)
        if action in {Action.SWITCH, Action.KILL_PRESENT}:
            assert stage is Stage.YIELDING


def test_whatever_is_late_has_an_end() -> None:
    assert all(TABLE[stage, Event.LATE] is not Action.NONE for stage in Stage)


def test_a_change_of_both_goes_through_every_stage() -> None:
    handover = Handover(Replace("u", ["s"], ["k"]))
    stages = [handover.stage]
    actions = []
    for event in (Event.PREPARED, Event.CHECKED, Event.PREPARED, Event.LATE, Event.PRESENT_ENDED):
        actions.append(handover.happens(event))
        stages.append(handover.stage)
    checking, preparing, yielding = Stage
    assert stages == [checking, checking, preparing, yielding, yielding, yielding]
    none, start, ask, kill, switch, _ = Action
    assert actions == [none, start, ask, kill, switch]


def test_without_a_keeper_nothing_is_checked() -> None:
    assert Handover(Replace("u", ["s"])).stage is Stage.PREPARING


def test_prepared_is_who_has_spoken_and_not_who_has_left() -> None:
    handover = Handover(Replace("u", ["s"]))
    assert not handover.is_prepared()
    handover.link, theirs = socket.socketpair()
    with handover.link:
        assert not handover.is_prepared()
        theirs.send(b"x")
        assert handover.is_prepared()
        handover.link.recv(1)
        theirs.close()
        assert not handover.is_prepared()
