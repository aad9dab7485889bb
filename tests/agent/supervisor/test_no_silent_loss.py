"""Whatever becomes of agent, host and disk: a watcher gets each change once, in order, or hears of a gap."""

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import fleet_agent.supervisor.journal as journal_room
import pytest
from fakes.small_roster import a_spec, some_desires
from fleet_agent.core import events
from fleet_agent.core.model import Exit, GroupSpec, Now, Process, ProcessSpec, State
from fleet_agent.supervisor import resuming
from fleet_agent.supervisor.children import Children
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.sessions import Session
from fleet_agent.supervisor.watching import Watching
from fleet_api.rows import PositionRow
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

NAMES = ("a", "b", "c")
ACTS = st.one_of(
    st.tuples(st.just("live"), st.sampled_from(NAMES)),
    st.tuples(st.sampled_from(["watch", "hang up", "fill", "empty", "kill", "leave", "configure"])),
    st.tuples(st.sampled_from(["cut", "boot"]), st.floats(0, 1)),
)


class NoChildren:
    """Nothing is held by any keeper."""

    def take_over(self, found: object, now: Now, goes_on: bool) -> None:
        return


class Watcher:
    """What a client has seen, and what it makes of it."""

    def __init__(self) -> None:
        self.position: PositionRow | None = None
        self.rows: dict[str, tuple[str, int]] = {}
        self.is_told = True
        self.told: dict[tuple[str, int], tuple[str, str, int]] = {}

    def begin_stream(self, number: int, cancel: Callable[[], None]) -> None:
        return

    def item(self, number: int, item: dict[str, Any], fds: object = ()) -> None:
        if "gap" in item:
            assert item["gap"]["reason"]
            self.is_told = True
        elif "snapshot" in item:
            assert self.is_told, "a snapshot without a word why"
            self.rows = {row["name"]: (row["state"], row["run"]) for row in item["snapshot"]}
            self.position, self.is_told = item["position"], False
        else:
            self._take(item["event"])

    def _take(self, event: dict[str, Any]) -> None:
        assert self.position is not None
        assert event["sequence"] == self.position["sequence"] + 1
        self.position = cast(PositionRow, {**self.position, "sequence": event["sequence"]})
        row = event["process"]
        change = (row["name"], row["state"], row["run"])
        key = (self.position["incarnation"], event["sequence"])
        assert self.told.setdefault(key, change) == change, "one number, two changes"
        if event["removed"]:
            self.rows.pop(row["name"], None)
        else:
            self.rows[row["name"]] = change[1:]


class World:
    """One host: agents that follow one another, on a disk that may be full or damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watcher = Watcher()
        self.is_full = False
        self.boot = 0
        self.lives = 0
        self.names: tuple[str, ...] = NAMES
        self.begin()

    def write(self, fd: int, data: bytes) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.write(fd, data)

    def begin(self) -> None:
        self.lives += 1
        self.now = Now(1000.0, 5000.0)
        self.loop = Loop(lambda: self.now.monotonic)
        self.journal = Journal(str(self.folder), f"boot-{self.boot}", lambda _: None, 3000)
        self.roster = Roster(self.loop, self.journal, lambda: self.now, self._act)
        self.roster.watchers.append(self._on_change)
        self.watching = Watching(self.loop, self.roster, self.journal, "host", lambda: self.now)
        specs = tuple(a_spec(name) for name in self.names)
        resuming.go_on(
            [GroupSpec("g", 1, specs)],
            self.roster,
            self.journal,
            cast(Children, NoChildren()),
            self.journal.restore(),
            [],
            self.now,
            f"incarnation {self.lives}",
            some_desires(self.folder, self.loop, self.roster, lambda _: None),
        )

    def end(self) -> None:
        if self.journal._fd >= 0:
            os.close(self.journal._fd)

    def _act(self, spec: ProcessSpec, process: Process, effect: events.Effect) -> None:
        return

    def _on_change(self, change: Change, spec: ProcessSpec) -> None:
        key = (self.journal.incarnation, change.sequence)
        told = (spec.name, change.process.state.value, change.process.run)
        assert self.watcher.told.setdefault(key, told) == told, "a number is given again"

    def live(self, name: str) -> None:
        """One run of a process, from start to end."""
        id_ = f"g:{name}"
        if id_ not in self.roster:
            return
        if self.roster[id_].process.state in (State.STOPPED, State.EXITED):
            self.roster.apply(id_, events.StartAsked("test"))
        run = self.roster[id_].process.run
        self.roster.apply(id_, events.Spawned(run, 77, self.now))
        self.roster.apply(id_, events.Exited(run, Exit(0)))

    def watch(self) -> None:
        self.hang_up()
        self.watching.begin(cast(Session, self.watcher), 1, self.watcher.position)
        self.settle()

    def settle(self) -> None:
        while any(stream.missed is not None for stream in self.watching._streams.values()):
            self.loop.after(0.0, self.loop.stop)
            self.loop.run()

    def hang_up(self) -> None:
        self.watching._end(cast(Session, self.watcher), 1)

    def newest(self) -> Path:
        paths = self.folder.glob("journal.*")
        return max(paths, key=lambda path: int(path.name.split(".")[1]))

    def cut(self, share: float) -> None:
        """Damage the newest file, in the middle of a line: what is whole lines looks whole."""
        whole = self.newest().read_bytes()
        self.newest().write_bytes(whole[: int(len(whole) * share)].removesuffix(b"\n"))

    def boot_anew(self, share: float) -> None:
        """The power went: what was written last never reached the disk."""
        self.boot += 1
        lines = self.newest().read_bytes().splitlines(keepends=True)
        self.newest().write_bytes(b"".join(lines[: int(len(lines) * share)]))

    def act(self, name: str, *arguments: Any) -> None:
        match name:
            case "live":
                self.live(*arguments)
            case "watch":
                self.watch()
            case "hang up":
                self.hang_up()
            case "fill":
                self.is_full = True
            case "empty":
                self.is_full = False
                self.journal.catch_up(self.roster.states())
            case _:
                self._next_life(name, *arguments)

    def _next_life(self, name: str, *arguments: Any) -> None:
        if name == "leave":
            self.journal.leave()
        self.end()
        if name == "cut":
            self.cut(*arguments)
        elif name == "boot":
            self.boot_anew(*arguments)
        elif name == "configure":
            self.names = NAMES[1:] if self.names == NAMES else NAMES
        self.begin()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(ACTS, max_size=40))
@example([("fill",), ("live", "a"), ("kill",), ("empty",), ("live", "b")])
@example([("live", "a"), ("boot", 0.7), ("live", "b")])
@example([("live", "a"), ("leave",), ("live", "b"), ("hang up",), ("boot", 1.0), ("live", "c")])
def test_nothing_is_lost_in_silence(acts: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        world = World(Path(folder))
        patch.setattr(journal_room, "_write_all", world.write)
        world.watch()
        for act in acts:
            world.act(*act)
        world.is_full = False
        world.watch()
        members = world.roster.members()
        assert world.watcher.rows == {
            one.spec.name: (one.process.state.value, one.process.run) for one in members
        }
        world.end()
