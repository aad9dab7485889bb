"""What a watcher is sent: snapshot, changes, heartbeats, gaps, and the way back in."""

from typing import Any

import pytest
from fakes.running_gateway import SECONDS, listed
from fakes.supervisor import FakeSupervisor, make_row
from fleet_agent.gateway.watch import heartbeat_seconds, why_not_resumable
from fleet_api import wire
from fleet_api.rows import PositionRow
from fleet_api.v1 import agent_pb2, types_pb2
from google.protobuf.duration_pb2 import Duration


def test_a_watch_is_a_snapshot_then_changes_then_heartbeats(launch: Any, watcher: Any) -> None:
    gateway = launch([make_row(f"p{number}") for number in range(1100)])
    watch = watcher(gateway.stub())
    parts = [watch.next("snapshot") for _ in range(3)]
    assert [len(part.processes) for part in parts] == [500, 500, 100]
    assert [part.last for part in parts] == [False, False, True]
    assert {part.position.sequence for part in parts} == {10}
    beat = watch.next("heartbeat")
    assert beat.position.sequence == 10
    assert wire.seconds_of(beat.supervisor_age) < SECONDS
    gateway.supervisor.change(make_row("p1", state="FATAL", uptime=None), "gave up")
    event = watch.next("event")
    assert (event.sequence, event.reason, event.removed) == (11, "gave up", False)
    assert event.process.state == types_pb2.Process.FATAL
    assert event.old_state == types_pb2.Process.RUNNING
    gateway.supervisor.change(make_row("p1"), "left", removed=True)
    assert watch.next("event").removed
    while watch.next("heartbeat", skip=()).position.sequence < 12:
        pass
    assert "p1" not in listed(gateway.stub())


def test_heartbeats_come_at_most_each_second_and_show_a_silent_supervisor(launch: Any, watcher: Any) -> None:
    gateway = launch()
    watch = watcher(gateway.stub(), interval=0.001)
    first = watch.next("heartbeat", skip=("snapshot",))
    second = watch.next("heartbeat")
    assert wire.seconds_of(second.time) - wire.seconds_of(first.time) > 0.9
    assert wire.seconds_of(second.supervisor_age) < 2
    gateway.supervisor.silent.add("ping")
    while wire.seconds_of(watch.next("heartbeat").supervisor_age) < 2:
        pass


def test_nobody_is_pinged_while_nobody_watches(launch: Any, watcher: Any) -> None:
    gateway = launch()
    assert listed(gateway.stub())
    assert gateway.supervisor.requests("ping") == []
    watch = watcher(gateway.stub())
    watch.next("heartbeat", skip=("snapshot",))
    assert gateway.supervisor.requests("ping")


def test_a_watch_resumes_where_it_ended(launch: Any, watcher: Any) -> None:
    gateway = launch()
    stub = gateway.stub()
    watch = watcher(stub)
    position = watch.next("snapshot").position
    gateway.supervisor.change(make_row("web", state="STOPPED", uptime=None))
    assert watch.next("event").sequence == 11
    watch.close()
    gateway.supervisor.change(make_row("web"))
    again = watcher(stub, after=position)
    assert [again.next("event").sequence for _ in range(2)] == [11, 12]
    gateway.supervisor.change(make_row("web"))
    assert again.next("event").sequence == 13
    position.sequence = 13
    nothing_missed = watcher(stub, after=position)
    assert nothing_missed.next("heartbeat", skip=()).position.sequence == 13


def test_changes_from_before_this_gateway_come_from_the_journal(launch: Any, watcher: Any) -> None:
    def earlier(supervisor: FakeSupervisor) -> None:
        for _ in range(3):
            supervisor.change(make_row("web"))

    gateway = launch(prepare=earlier)
    after = types_pb2.Position(agent_id="web1", incarnation="first", sequence=11)
    watch = watcher(gateway.stub(), after=after)
    assert [watch.next("event").sequence for _ in range(2)] == [12, 13]
    gateway.supervisor.change(make_row("web"))
    assert watch.next("event").sequence == 14
    # The stream that was opened for the past is closed again; the gateway's own goes on.
    gateway.supervisor.wait_for(lambda: len(gateway.supervisor.cancelled) == 1, "cancel")


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (types_pb2.Position(agent_id="web1", incarnation="first", sequence=3), "no longer kept"),
        (types_pb2.Position(agent_id="web1", incarnation="zeroth", sequence=10), "no longer kept"),
        (types_pb2.Position(agent_id="web1", incarnation="first", sequence=99), "ahead"),
        (types_pb2.Position(agent_id="db7", incarnation="first", sequence=10), "db7"),
    ],
)
def test_a_past_that_is_gone_is_a_gap_and_a_snapshot(
    shared: Any, watcher: Any, position: types_pb2.Position, words: str
) -> None:
    watch = watcher(shared.stub(), after=position)
    gap = watch.next("gap", skip=())
    assert words in gap.reason
    assert gap.asked == position
    assert watch.next("snapshot", skip=()).last


def test_a_gap_of_the_supervisor_reaches_the_watchers(launch: Any, watcher: Any) -> None:
    gateway = launch()
    watch = watcher(gateway.stub())
    assert watch.next("snapshot").last
    gateway.supervisor.incarnation, gateway.supervisor.sequence = "second", 1
    gateway.supervisor.restart_watch()
    assert watch.next("gap").reason == "lost"
    snapshot = watch.next("snapshot", skip=())
    assert (snapshot.position.incarnation, snapshot.position.sequence) == ("second", 1)
    gateway.supervisor.change(make_row("web"))
    assert watch.next("event").sequence == 2


def test_a_watcher_that_does_not_read_gets_a_gap_and_harms_nobody(launch: Any, watcher: Any) -> None:
    gateway = launch()
    stub = gateway.stub()
    slow = watcher(stub)
    slow.next("snapshot")
    other = watcher(gateway.stub())
    other.next("snapshot")
    last = 0
    for _ in range(8000):
        last = gateway.supervisor.change(make_row("web", reason="z" * 300))
    while other.next("event", skip=("heartbeat", "gap", "snapshot")).sequence < last - 1:
        break  # it goes on, whatever it missed
    kinds = []
    seen = 0
    for response in slow.call:
        kinds.append(response.WhichOneof("body"))
        if kinds[-1] == "event":
            assert response.event.sequence > seen
            seen = response.event.sequence
        if kinds[-1] == "snapshot":
            assert response.snapshot.position.sequence > seen
            seen = response.snapshot.position.sequence
        if seen == last:
            break
    assert kinds[kinds.index("gap") + 1] == "snapshot"


def test_a_change_that_cannot_be_read_is_mended_by_a_snapshot(launch: Any, watcher: Any) -> None:
    gateway = launch()
    watch = watcher(gateway.stub())
    watch.next("snapshot")
    supervisor = gateway.supervisor
    number = supervisor.requests("watch")[0]["id"]
    supervisor.item(number, {"event": {"sequence": "many", "process": None}})
    supervisor.wait_for_request("watch", count=2)
    watch.next("gap")
    assert watch.next("snapshot", skip=()).last
    supervisor.change(make_row("web"))
    assert watch.next("event").sequence == 11


def test_a_number_that_is_left_out_is_no_silence(launch: Any, watcher: Any) -> None:
    gateway = launch()
    watch = watcher(gateway.stub())
    watch.next("snapshot")
    gateway.supervisor.sequence += 1
    gateway.supervisor.change(make_row("web"))
    watch.next("gap")
    assert watch.next("snapshot", skip=()).position.sequence == 12


# ---------------------------------------------------------------- pure


@pytest.mark.pure
@pytest.mark.parametrize(
    ("after", "words"),
    [
        (PositionRow(agent_id="a", incarnation="i", sequence=5), ""),
        (PositionRow(agent_id="", incarnation="i", sequence=0), ""),
        (PositionRow(agent_id="b", incarnation="i", sequence=5), "agent b"),
        (PositionRow(agent_id="a", incarnation="j", sequence=9), ""),
        (PositionRow(agent_id="a", incarnation="i", sequence=6), "ahead"),
    ],
)
def test_a_position_is_resumable_within_its_own_history(after: PositionRow, words: str) -> None:
    reason = why_not_resumable(PositionRow(agent_id="a", incarnation="i", sequence=5), after)
    assert (words in reason) if words else not reason


@pytest.mark.pure
def test_the_pause_between_heartbeats_is_bounded() -> None:
    def asked(seconds: int) -> float:
        return heartbeat_seconds(agent_pb2.WatchRequest(heartbeat_interval=Duration(seconds=seconds)))

    assert heartbeat_seconds(agent_pb2.WatchRequest()) == 2
    assert [asked(seconds) for seconds in (-5, 0, 1, 7, 10**9)] == [1, 1, 1, 7, 60]
