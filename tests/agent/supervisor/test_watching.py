"""Who watches gets every change once: after a snapshot, what was missed, or a gap that is told."""

from pathlib import Path
from typing import Any, cast

import pytest
from fakes.small_roster import SmallRoster, a_spec
from fleet_agent.core import events
from fleet_agent.supervisor import watching as room
from fleet_agent.supervisor.sessions import Session
from fleet_agent.supervisor.watching import Watching
from fleet_api.errors import BadRequest
from fleet_api.frames import Decoder, encode


class Listener:
    """A session that keeps what it is sent."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.cancels: dict[int, Any] = {}

    def begin_stream(self, number: int, cancel: Any) -> None:
        self.cancels[number] = cancel

    def item(self, number: int, item: dict[str, Any], fds: Any = ()) -> None:
        self.items += Decoder().feed(encode(item))

    @property
    def sequences(self) -> list[int]:
        return [item["event"]["sequence"] for item in self.items if "event" in item]


class World(SmallRoster):
    """A roster with watchers."""

    def __init__(self, folder: Path, *names: str, agent_id: str = "host-1") -> None:
        super().__init__(folder, *(a_spec(name) for name in names))
        self.watching = Watching(self.loop, self.roster, self.journal, agent_id, lambda: self.now)

    def watch(self, after: Any = None) -> Listener:
        listener = Listener()
        self.watching.begin(cast(Session, listener), 1, after)
        return listener

    def live(self, name: str) -> None:
        """Start, and end: three changes."""
        self.roster.apply(f"g:{name}", events.StartAsked("test"))
        self.spawned(name)
        self.exited(name)

    def at(self, sequence: int, **changes: object) -> dict[str, object]:
        return {"agent_id": "host-1", "incarnation": "inc", "sequence": sequence, **changes}


def test_a_snapshot_then_every_change(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    listener = world.watch()
    (snapshot,) = listener.items
    assert [row["name"] for row in snapshot["snapshot"]] == ["a", "b"]
    assert (snapshot["last"], snapshot["position"]) == (True, world.at(0))
    world.live("a")
    world.live("b")
    assert listener.sequences == [1, 2, 3, 4, 5, 6]
    last = listener.items[-1]["event"]
    assert (last["old_state"], last["process"]["state"], last["removed"]) == ("RUNNING", "EXITED", False)
    assert last["time"] == world.now.wall
    assert last["reason"] == "exited: exit status 0; expected"


def test_a_long_snapshot_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ROWS_PER_ITEM", 2)
    for names, parts in ((["a", "b", "c"], [2, 1]), (["a", "b"], [2]), ([], [0])):
        folder = tmp_path / str(len(names))
        folder.mkdir()
        items = World(folder, *names).watch().items
        assert [len(item["snapshot"]) for item in items] == parts
        assert [item["last"] for item in items] == [False] * (len(parts) - 1) + [True]


@pytest.mark.parametrize("after", range(7))
def test_whoever_comes_back_gets_what_was_missed_once(tmp_path: Path, after: int) -> None:
    world = World(tmp_path, "a", "b")
    world.live("a")
    world.live("b")
    listener = world.watch(world.at(after))
    assert listener.sequences == list(range(after + 1, 7))
    assert len(listener.items) == len(listener.sequences)
    world.live("a")
    assert listener.sequences == list(range(after + 1, 10))


def test_the_next_supervisor_knows_what_was_missed(tmp_path: Path) -> None:
    World(tmp_path, "a").live("a")
    second = World(tmp_path, "a")
    assert second.watch(second.at(1)).sequences == [2, 3]
    second.live("a")
    assert second.watch(second.at(1)).sequences == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"incarnation": "other"}, "numbering has begun anew since then"),
        ({"agent_id": "host-2"}, "the position belongs to another agent than host-1"),
        ({"sequence": 99}, "the position is ahead of the agent, which stands at 3"),
        ({"sequence": -1}, "the changes after -1 are no longer all kept"),
        ({"sequence": 10**300}, "the position is ahead of the agent"),
    ],
)
def test_a_gap_is_told_and_followed_by_a_snapshot(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    world = World(tmp_path, "a")
    world.live("a")
    asked = {**world.at(1), **changes}
    gap, snapshot = world.watch({**asked, "extra": float("inf")}).items
    assert gap["gap"]["asked"] == asked
    assert reason in gap["gap"]["reason"]
    assert snapshot["position"]["sequence"] == 3


@pytest.mark.parametrize(
    "after",
    [
        7,
        "1",
        [],
        {},
        False,
        {"agent_id": "host-1", "incarnation": "inc", "sequence": "1"},
        {"agent_id": "host-1", "incarnation": "inc", "sequence": True},
        {"agent_id": "host-1", "incarnation": "inc", "sequence": 1.5},
        {"agent_id": 7, "incarnation": "inc", "sequence": 1},
        {"agent_id": "host-1", "incarnation": ["inc"], "sequence": 1},
    ],
)
def test_what_is_no_position_is_told_and_nothing_begins(tmp_path: Path, after: object) -> None:
    world = World(tmp_path, "a")
    listener = Listener()
    with pytest.raises(BadRequest):
        world.watching.begin(cast(Session, listener), 1, after)
    assert listener.cancels == {}
    world.live("a")
    assert listener.items == []


def test_a_stream_that_was_cancelled_hears_no_more(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    first, second = world.watch(), world.watch()
    first.cancels[1]()
    world.live("a")
    assert first.sequences == []
    assert second.sequences == [1, 2, 3]


def test_who_left_the_configuration_is_told_and_leaves_no_hole(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    listener = world.watch()
    world.live("a")
    world.roster.remove("g:a", "left the configuration")
    assert listener.items[-1]["event"]["removed"]
    world.live("b")
    late = world.watch(world.at(0))
    assert late.sequences == list(range(1, 8))
    assert [item["event"]["process"]["name"] for item in late.items] == ["a"] * 4 + ["b"] * 3
    assert [item["event"]["removed"] for item in late.items] == [False] * 3 + [True] + [False] * 3


def test_who_has_missed_much_gets_it_in_parts_and_nothing_twice_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "CHANGES_A_TURN", 4)
    world = World(tmp_path, "a", "b")
    for _ in range(5):
        world.live("a")
    listener = world.watch(world.at(1))
    assert listener.sequences == [2, 3, 4, 5]
    world.live("b")
    for _ in range(10):
        world.loop.after(0.0, world.loop.stop)
        world.loop.run()
    world.live("a")
    assert listener.sequences == list(range(2, 22))
    assert len(listener.items) == 20


def test_who_does_not_catch_up_is_told_of_the_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHANGES_A_TURN", 4)
    monkeypatch.setattr(room, "MAX_WAITING", 2)
    world = World(tmp_path, "a", "b")
    for _ in range(2):
        world.live("a")
    listener = world.watch(world.at(1))
    # The journal is gone from under it, and more happens than is held for it.
    for path in tmp_path.glob("journal.*"):
        path.write_bytes(b"")
    world.live("b")
    for _ in range(10):
        world.loop.after(0.0, world.loop.stop)
        world.loop.run()
    assert listener.sequences == [2, 3, 4, 5, 6, 7, 8]
    *_, gap, snapshot = listener.items
    assert gap["gap"]["asked"] == world.at(8)
    assert snapshot["position"] == world.at(9)
    world.live("b")
    assert listener.sequences[-3:] == [10, 11, 12]


def test_a_damaged_journal_is_a_gap_where_the_damage_is(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    for _ in range(3):
        world.live("a")
    (path,) = tmp_path.glob("journal.*")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], *lines[6:]]))
    listener = world.watch(world.at(0))
    numbers = listener.sequences
    assert numbers == list(range(1, len(numbers) + 1))
    gap, snapshot = listener.items[len(numbers) :]
    assert gap["gap"]["asked"] == world.at(len(numbers))
    assert "are no longer all kept" in gap["gap"]["reason"]
    assert snapshot["position"]["sequence"] == 9
