"""What the keeper holds is read, booked and released, by this supervisor and by the next."""

import errno
import os
from pathlib import Path
from typing import cast

import pytest
from fakes.held_runs import NoLogs
from fakes.planted_trees import PlantedTrees
from fakes.small_roster import SmallRoster, a_spec
from fleet_agent.core import events
from fleet_agent.core.log_lines import INFO, WARN, LogLine
from fleet_agent.core.model import Autorestart, Exit, LogSpec, ProcessSpec, State
from fleet_agent.link.messages import (
    Child,
    Exited,
    Release,
    SendSignal,
    Spawned,
    SpawnFailed,
    ToKeeper,
)
from fleet_agent.supervisor.children import STRAY_SECONDS, Children, Found
from fleet_agent.supervisor.logs.answers import Drained, RunClosed
from fleet_agent.supervisor.logs.worker import LogWorker
from fleet_agent.supervisor.trees.trees import Trees

LOGGED = a_spec("a", stdout=LogSpec("/log/out"), stderr=LogSpec("/log/err"))


class World(SmallRoster):
    """A roster and its children; what is sent, said and read is collected."""

    def __init__(self, folder: Path, *specs: ProcessSpec) -> None:
        super().__init__(folder, *specs)
        self.logs = NoLogs()
        self.trees = PlantedTrees()
        self.sent: list[ToKeeper] = []
        self.lines: list[LogLine] = []
        self.shortages: list[str] = []
        self.children = Children(
            self.loop,
            self.roster,
            cast(LogWorker, self.logs),
            cast(Trees, self.trees),
            self.sent.append,
            self.lines.append,
            strip_ansi=False,
            report_shortage=self.shortages.append,
        )

    def ask_start(self, name: str = "a") -> None:
        self.roster.apply(f"g:{name}", events.StartAsked("test"))

    def born(self, name: str = "a", run: int = 1, pid: int = 77) -> None:
        self.children.on_spawned(
            Spawned(f"g:{name}", run, pid, self.now.monotonic, self.now.wall, [], []), []
        )

    def died(self, name: str = "a", run: int = 1, status: int = 0) -> None:
        self.children.on_exited(Exited(f"g:{name}", run, 77, status, self.now.monotonic, self.now.wall))

    def take_over(self, *found: Child, goes_on: bool = True) -> None:
        self.children.take_over([Found(child, {}) for child in found], self.now, goes_on)

    def turn(self) -> None:
        self.loop.soon(self.loop.stop)
        self.loop.run()


def held(
    run: int,
    name: str = "a",
    status: int | None = None,
    signals: int = 0,
    born: float = 900.0,
    died: float = 0.0,
) -> Child:
    """A run that the keeper introduces; `born` on the monotonic clock, `died` in seconds since the epoch."""
    return Child(f"g:{name}", run, 77, born, born + 4000.0, signals, [], [], status, died)


# ---------------------------------------------------------------------------------- one supervisor


def test_a_run_that_lives_is_told_and_read(tmp_path: Path) -> None:
    world = World(tmp_path, LOGGED)
    world.ask_start()
    stdin, stdout = os.pipe()
    message = Spawned("g:a", 1, 77, 1000.5, 5000.5, ["stdin", "stdout"], ["/f/0", "/f/1"])
    world.children.on_spawned(message, [stdin, stdout])
    assert world.lines == [(INFO, "spawned: 'g:a' with pid 77")]
    process = world.process("a")
    assert (process.state, process.pid, process.started) == (State.RUNNING, 77, (1000.5, 5000.5))
    assert world.logs.opened == [
        (("g:a", 1), {"stdout": stdout}, {"stdout": LogSpec("/log/out"), "stderr": LogSpec("/log/err")})
    ]
    os.close(stdout)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(stdin)


@pytest.mark.parametrize("stage", ["setuid", "chdir", "exec"])
@pytest.mark.parametrize("redirected", [False, True])
def test_a_program_that_was_not_reached_is_told_in_its_own_log(
    tmp_path: Path, stage: str, redirected: bool
) -> None:
    world = World(tmp_path, LOGGED._replace(redirect_stderr=redirected))
    world.ask_start()
    world.children.on_spawn_failed(SpawnFailed("g:a", 1, stage, 2, "couldn't chdir to /gone: ENOENT"))
    assert world.process("a").spawn_error == "couldn't chdir to /gone: ENOENT"
    words = b"supervisor: couldn't chdir to /gone: ENOENT\nsupervisor: child process was not spawned\n"
    stream, path = ("stdout", "/log/out") if redirected else ("stderr", "/log/err")
    assert world.logs.written == [("g:a", stream, words, LogSpec(path))]


@pytest.mark.parametrize(
    "message",
    [
        SpawnFailed("g:a", 1, "fork", 12, "unknown error during fork for 'a': ENOMEM"),
        SpawnFailed("g:a", 1, "fork", 11, "Too many processes in process table to spawn 'a'"),
        SpawnFailed("g:a", 1, "limit", 24, "too many open files to spawn 'a'"),
        SpawnFailed("g:a", 1, "fifo", 28, "unknown error making dispatchers for 'a': ENOSPC"),
    ],
)
def test_a_spawn_that_failed_is_told_in_the_words_of_the_keeper(tmp_path: Path, message: SpawnFailed) -> None:
    world = World(tmp_path, LOGGED)
    world.ask_start()
    world.children.on_spawn_failed(message)
    assert world.process("a").spawn_error == message.message
    assert world.process("a").state is State.BACKOFF
    assert world.logs.written == []


def test_a_run_is_released_once_when_it_has_ended_and_is_drained(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.ask_start()
    world.born()
    world.died(status=3 << 8)
    assert world.process("a").exit == Exit(code=3)
    assert world.sent == []
    world.children.on_drained(Drained("g:a", 1, closed=True))
    world.children.on_drained(RunClosed("g:a", 1))
    assert world.sent == [Release("g:a", 1)]


def test_a_run_whose_streams_somebody_holds_is_released_when_they_are_closed(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.ask_start()
    world.born()
    world.died()
    world.children.on_drained(Drained("g:a", 1, closed=False))
    assert world.sent == []
    # The next run lives meanwhile; its streams are its own.
    world.ask_start()
    world.born(run=2)
    assert world.process("a").pid == 77
    world.children.on_drained(RunClosed("g:a", 1))
    assert world.sent == [Release("g:a", 1)]


def test_a_run_of_nothing_configured_is_read_and_released(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.born("other")
    world.died("other")
    world.children.on_spawn_failed(SpawnFailed("g:other", 2, "exec", 2, "couldn't exec x: ENOENT"))
    world.children.on_drained(Drained("g:other", 1, closed=True))
    assert world.sent == [Release("g:other", 1)]
    assert world.lines == []


# ------------------------------------------------------------------------------ the next supervisor


def test_what_lives_goes_on_without_a_word(tmp_path: Path) -> None:
    first = World(tmp_path, a_spec("a"))
    first.ask_start()
    first.born()
    second = World(tmp_path, a_spec("a"))
    sequence = second.journal.sequence
    second.take_over(held(1))
    assert second.process("a") == first.process("a")
    assert (second.effects, second.sent, second.lines) == ([], [], [])
    assert second.journal.sequence == sequence


def test_a_birth_that_nobody_noted_is_noted_at_its_time(tmp_path: Path) -> None:
    World(tmp_path, a_spec("a", startsecs=5)).ask_start()
    second = World(tmp_path, a_spec("a", startsecs=5))
    second.take_over(held(1, born=997.0))
    assert second.lines == [(INFO, "spawned: 'g:a' with pid 77")]
    assert second.process("a").pid == 77
    assert second.process("a").state is State.STARTING
    second.pass_time(2.0)
    second.turn()
    assert second.process("a").state is State.RUNNING


@pytest.mark.parametrize(("lived", "state"), [(2.0, State.BACKOFF), (5.0, State.EXITED)])
def test_a_death_while_nobody_looked_is_booked_at_its_time(
    tmp_path: Path, lived: float, state: State
) -> None:
    spec = a_spec("a", startsecs=3)
    first = World(tmp_path, spec)
    first.ask_start()
    first.born()
    second = World(tmp_path, spec)
    second.pass_time(60.0)
    second.take_over(held(1, status=0, born=1000.0, died=5000.0 + lived))
    process = second.process("a")
    assert (process.state, process.exit, process.stopped_wall) == (state, Exit(code=0), 5000.0 + lived)
    assert second.logs.answers == [Drained("g:a", 1, True)]
    if state is State.BACKOFF:
        assert process.timer is not None
        assert process.timer.due == 1000.0 + lived + 1


def test_no_death_comes_before_its_birth_though_the_clock_was_set(tmp_path: Path) -> None:
    spec = a_spec("a", startsecs=3)
    first = World(tmp_path, spec)
    first.ask_start()
    first.born()
    second = World(tmp_path, spec)
    second.now = second.now._replace(wall=second.now.wall + 86_400.0)
    second.take_over(held(1, status=0, born=1000.0, died=5001.0))
    timer = second.process("a").timer
    assert timer is not None
    assert timer.due >= 1001.0


def test_an_end_that_was_booked_already_is_only_released(tmp_path: Path) -> None:
    first = World(tmp_path, a_spec("a"))
    first.ask_start()
    first.born()
    first.died()
    second = World(tmp_path, a_spec("a"))
    before = second.process("a")
    second.take_over(held(1, status=0, died=5000.0))
    assert second.process("a") == before
    second.children.on_drained(second.logs.answers[0])
    assert second.sent == [Release("g:a", 1)]


def test_a_run_that_nobody_holds_has_ended_unknown(tmp_path: Path) -> None:
    first = World(tmp_path, a_spec("a"))
    first.ask_start()
    first.born()
    second = World(tmp_path, a_spec("a"))
    second.pass_time(10)
    second.take_over()
    assert [effect for _, effect in second.effects] == [events.Spawn(2)]
    assert second.process("a").reason == "autorestart after exit status unknown"


def test_a_lost_journal_finds_the_living_and_their_signals(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.take_over(held(7, signals=3), goes_on=False)
    process = world.process("a")
    assert (process.state, process.run, process.pid) == (State.RUNNING, 7, 77)
    assert world.lines == [(INFO, "adopted: 'g:a' with pid 77")]
    world.roster.apply("g:a", events.StopAsked("test"))
    assert world.effects == [("a", events.SendSignal(7, 15, 4))]


def test_a_journal_that_fell_behind_sends_no_signal_that_the_keeper_would_drop(tmp_path: Path) -> None:
    first = World(tmp_path, a_spec("a"))
    first.ask_start()
    first.born()
    second = World(tmp_path, a_spec("a"))
    second.take_over(held(1, signals=5))
    second.roster.apply("g:a", events.StopAsked("test"))
    assert second.effects == [("a", events.SendSignal(1, 15, 6))]


@pytest.mark.parametrize("sent", [0, 1])
def test_a_stop_is_asked_of_the_keeper_once(tmp_path: Path, sent: int) -> None:
    first = World(tmp_path, a_spec("a"))
    first.ask_start()
    first.born()
    first.roster.apply("g:a", events.StopAsked("test"))
    second = World(tmp_path, a_spec("a"))
    second.take_over(held(1, signals=sent))
    assert second.effects == ([] if sent else [("a", events.SendSignal(1, 15, 1))])
    second.pass_time(10)
    second.turn()
    killed = [("a", events.SendSignal(1, 9, 2)), ("a", events.KillTree(1))]
    assert second.effects[-2:] == killed, "its deadline goes on"


def test_a_journal_that_fell_behind_learns_of_an_end(tmp_path: Path) -> None:
    first = World(tmp_path, a_spec("a"))
    first.ask_start()
    first.born()
    second = World(tmp_path, a_spec("a", autorestart=Autorestart.NEVER))
    second.take_over(held(2, status=3 << 8, died=4999.0), goes_on=True)
    assert (second.process("a").run, second.process("a").exit) == (2, Exit(code=3))


def test_what_ended_with_the_last_agent_says_nothing_of_this_one(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.take_over(held(7, status=0, died=4000.0), goes_on=False)
    process = world.process("a")
    assert (process.state, process.run, process.changed_wall) == (State.STOPPED, 7, 0.0)
    assert world.effects == []
    world.ask_start()
    assert world.effects == [("a", events.Spawn(8))], "a number is used once"
    world.children.on_drained(world.logs.answers[0])
    assert world.sent == [Release("g:a", 7)]


def test_all_runs_of_a_process_are_taken_over(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.take_over(held(3), held(1, status=0), held(2, status=0), goes_on=False)
    assert (world.process("a").run, world.process("a").pid) == (3, 77)
    for answer in world.logs.answers:
        world.children.on_drained(answer)
    assert world.sent == [Release("g:a", 1), Release("g:a", 2)]


def test_what_nobody_wants_is_stopped_then_killed(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.take_over(held(4, name="old", signals=2))
    assert world.lines == [(WARN, "g:old: pid 77 (run 4) is wanted by nobody; stopping it")]
    assert world.sent == [SendSignal("g:old", 4, 15, 3, to_group=True)]
    world.pass_time(STRAY_SECONDS)
    world.turn()
    assert world.lines[1:] == [(WARN, "killing 'g:old' (77) with SIGKILL")]
    assert world.sent[1:] == [SendSignal("g:old", 4, 9, 4, to_group=True)]
    world.died("old", run=4, status=9)
    world.children.on_drained(world.logs.answers[0])
    assert world.sent[2:] == [Release("g:old", 4)]


def test_what_nobody_wants_and_ends_in_time_is_not_killed(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"))
    world.take_over(held(4, name="old"))
    world.died("old", run=4, status=15)
    world.pass_time(STRAY_SECONDS)
    world.turn()
    assert len(world.sent) == len(world.lines) == 1


def test_what_the_host_cannot_start_is_one_trouble_until_something_can_be_started(tmp_path: Path) -> None:
    world = World(tmp_path, a_spec("a"), a_spec("b"), a_spec("c"))
    for name in "abc":
        world.ask_start(name)
    for name, stage in (("a", "fork"), ("b", "limit")):
        failed = SpawnFailed(f"g:{name}", 1, stage, errno.EAGAIN, f"no room for {name}")
        world.children.on_spawn_failed(failed)
        assert world.process(name).state is State.BACKOFF
        assert world.process(name).failures == 0
    assert [words.split(";")[0] for words in world.shortages] == [
        "fails: no room for a",
        "fails: no room for b",
    ]
    world.born("c")
    world.born("c")
    assert world.shortages[2:] == [""]


@pytest.mark.parametrize(("stage", "code"), [("exec", errno.ENOENT), ("fifo", errno.EINVAL)])
def test_what_is_wrong_with_a_program_is_not_the_hosts_trouble(tmp_path: Path, stage: str, code: int) -> None:
    world = World(tmp_path, a_spec("a"))
    world.ask_start()
    world.children.on_spawn_failed(SpawnFailed("g:a", 1, stage, code, "wrong"))
    assert world.process("a").failures == 1
    assert world.shortages == []
