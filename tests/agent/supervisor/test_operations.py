"""Every process of an operation ends in one outcome, and a key is carried out once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fakes.small_roster import SmallRoster, a_spec
from fleet_agent.core import events
from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.core.model import Process, State
from fleet_agent.core.verbs import Verb
from fleet_agent.supervisor.journal import Change
from fleet_agent.supervisor.operations import Operations, Request
from fleet_agent.supervisor.results import Results
from fleet_api.errors import Conflict, NotFound
from fleet_api.rows import PositionRow


class World(SmallRoster):
    """A roster with operations beside it, whose answers are collected."""

    def __init__(self, folder: Path, *names: str) -> None:
        super().__init__(folder, *(a_spec(name) for name in names))
        self.answers: list[dict[str, Any]] = []
        results = Results(str(folder / "results"), self.now, print)
        self.refusal = ""
        self.operations = Operations(
            self.roster, results, self.desires, lambda: self.now, self._position, lambda: self.refusal
        )

    def _position(self) -> PositionRow:
        return {"agent_id": "a", "incarnation": "inc", "sequence": self.journal.sequence}

    def submit(
        self, verb: Verb, *names: str, key: str = "", wait: bool = True, now: bool = False, op: str = "op"
    ) -> None:
        ids = tuple(f"g:{name}" for name in names)
        request = Request(op, key, "alice", "deploy", verb, 10, wait, ids, (), now)
        self.operations.submit(request, self.answers.append)

    def run(self, name: str) -> None:
        self.roster.apply(f"g:{name}", events.StartAsked("test"))
        self.spawned(name)

    def outcomes(self) -> list[tuple[str, str, str]]:
        (answer,) = self.answers
        return [(row["name"], row["result"], row["reason"]) for row in answer["outcomes"]]


def test_a_start_is_answered_when_all_are_up(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    world.run("b")
    world.submit(Verb.START, "a", "b")
    assert world.answers == []
    world.spawned("a")
    assert world.outcomes() == [("a", "ok", "started"), ("b", "unchanged", "already started")]
    assert world.answers[0]["position"]["sequence"] == world.journal.sequence


def test_a_failed_start_says_why(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.START, "a")
    world.roster.apply("g:a", events.SpawnFailed(1, "can't find command 'x'"))
    assert world.outcomes() == [("a", "failed", "can't find command 'x'")]
    assert world.answers[0]["outcomes"][0]["error"]["code"] == "SPAWN_ERROR"


def test_a_restart_goes_through_the_stop(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    world.submit(Verb.RESTART, "a")
    assert world.process("a").state is State.STOPPING
    world.exited("a")
    assert world.answers == []
    world.spawned("a")
    assert world.outcomes() == [("a", "ok", "restarted")]
    assert world.process("a").run == 2


def test_a_restart_of_what_backs_off_starts_it_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.roster.apply("g:a", events.StartAsked("test"))
    world.roster.apply("g:a", events.SpawnFailed(1, "no"))
    world.submit(Verb.RESTART, "a")
    world.spawned("a")
    assert world.outcomes() == [("a", "ok", "restarted")]


def test_a_restart_of_what_does_not_run_is_a_start(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.RESTART, "a")
    world.spawned("a")
    assert world.outcomes() == [("a", "ok", "started")]


def test_a_stop_that_somebody_undoes_is_not_called_a_success(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    world.submit(Verb.STOP, "a")
    world.roster.apply("g:a", events.StartAsked("somebody else"))
    world.exited("a")
    assert world.outcomes() == [("a", "failed", "started again meanwhile")]


def test_signals_go_to_what_lives(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    world.run("a")
    world.submit(Verb.SIGNAL, "a", "b")
    assert world.outcomes() == [("a", "ok", "signalled"), ("b", "failed", "not running")]
    assert world.effects[-1] == ("a", events.SendSignal(1, 10, 1, False))


def test_nothing_meant_is_answered_at_once(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.START)
    assert world.outcomes() == []


def test_the_same_key_joins_then_repeats_the_result(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.START, "a", key="k")
    world.submit(Verb.START, "a", key="k")
    world.spawned("a")
    world.submit(Verb.START, "a", key="k")
    first, second, third = world.answers
    assert first == second
    assert (first["replayed"], third["replayed"]) == (False, True)
    assert third["outcomes"][0]["process"]["pid"] == 77
    assert world.process("a").run == 1
    assert world.operations.result("k")["outcomes"][0]["result"] == "ok"


def test_a_key_of_another_verb_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.START, "a", key="k")
    with pytest.raises(Conflict, match="belongs to a start of g:a, not to this stop of g:a"):
        world.submit(Verb.STOP, "a", key="k")


def test_a_key_that_nobody_used_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no operation with key 'k'"):
        World(tmp_path).operations.result("k")


def test_who_went_away_gets_no_answer_and_the_operation_goes_on(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    request = Request("op", "k", "alice", "", Verb.START, 0, True, ("g:a",), ())
    world.operations.submit(request, world.answers.append)
    reply = world.answers.append
    world.operations.abandon(reply)
    world.spawned("a")
    assert world.operations.result("k")["outcomes"][0]["result"] == "ok"


@pytest.mark.parametrize("done", ["nothing", "stop", "stop and start", "all"])
def test_a_restart_cut_short_is_finished_once_by_the_next_supervisor(tmp_path: Path, done: str) -> None:
    first = World(tmp_path, "a")
    first.run("a")
    Results(str(tmp_path / "results"), first.now, print).note_begun(
        "k", {"id": "op", "verb": "restart", "runs": {"g:a": 1}}, first.now
    )
    if done != "nothing":
        first.roster.apply("g:a", events.StopAsked("restart"))
    if done in ("stop and start", "all"):
        first.roster.apply("g:a", events.StartAsked("restart"))
    if done == "all":
        first.exited("a")
        first.spawned("a")
    second = World(tmp_path, "a")
    second.submit(Verb.RESTART, "a", key="k")
    if done != "all":
        assert second.process("a").state is State.STOPPING
        second.exited("a")
        second.spawned("a")
    assert second.outcomes() == [("a", "ok", "started" if done == "all" else "restarted")]
    assert second.process("a").run == 2


def test_a_signal_cut_short_is_not_claimed(tmp_path: Path) -> None:
    first = World(tmp_path, "a")
    first.run("a")
    Results(str(tmp_path / "results"), first.now, print).note_begun(
        "k", {"id": "op", "verb": "signal", "runs": {"g:a": 1}}, first.now
    )
    second = World(tmp_path, "a")
    second.submit(Verb.SIGNAL, "a", key="k")
    assert second.outcomes() == [("a", "failed", "whether it was signalled is not known")]


def test_a_restart_is_one_line_of_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    appended: list[int] = []
    append = world.journal.append

    def counting(changes: list[Change], states: Callable[[], dict[str, Process]]) -> None:
        appended.append(len(changes))
        append(changes, states)

    monkeypatch.setattr(world.journal, "append", counting)
    world.submit(Verb.RESTART, "a")
    assert len(appended) == 1, "whoever is killed in the middle must not leave it stopped"


def test_a_key_of_other_processes_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    world.submit(Verb.STOP, "a", "b", key="k")
    world.submit(Verb.STOP, "b", "a", key="k")
    with pytest.raises(Conflict, match=r"belongs to a stop of g:a, g:b, not to this stop of g:a$"):
        world.submit(Verb.STOP, "a", key="k")
    with pytest.raises(Conflict, match="not to this stop of nothing"):
        world.submit(Verb.STOP, key="k")


def test_without_waiting_it_is_answered_when_it_is_asked(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.START, "a", wait=False, key="k")
    assert world.outcomes() == [("a", "ok", "start asked")]
    second = World(tmp_path, "a")
    Results(str(tmp_path / "results"), second.now, print).note_begun(
        "k2", {"id": "op", "verb": "start", "runs": {"g:a": 0}}, second.now
    )
    third = World(tmp_path, "a")
    third.submit(Verb.START, "a", wait=False, key="k2")
    assert third.outcomes() == [("a", "ok", "start asked")]
    assert third.process("a").run == 1


def test_who_leaves_the_configuration_fails_what_waits_for_it(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.START, "a", key="k")
    world.roster.remove("g:a", "left the configuration")
    assert world.outcomes() == [("a", "failed", "left the configuration")]
    assert world.answers[0]["outcomes"][0]["process"] is None
    assert world.operations.result("k")["outcomes"][0]["process"] is None


def test_an_answer_comes_after_every_change_it_caused(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    told: list[int] = []
    # Before the operations, as those who watch are in the agent.
    world.roster.watchers.insert(0, lambda change, spec: told.append(change.sequence))
    world.submit(Verb.STOP, "a")
    world.exited("a")
    assert told[-1] == world.answers[0]["position"]["sequence"] == world.journal.sequence


# ---------------------------------------------------------------- what is wanted for good


def test_a_stop_lasts_until_the_next_start(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    world.submit(Verb.STOP, "a")
    assert world.desires.get("g:a") == Desire(DesireKind.STOPPED, "alice", "deploy", 5000.0, "op")
    assert world.process("a").desire == world.desires.get("g:a")
    world.exited("a")
    world.submit(Verb.START, "a")
    assert world.desires.get("g:a") is None
    assert world.process("a").desire is None


def test_the_end_of_a_program_is_no_wish(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    world.exited("a", 1)
    assert world.desires.get("g:a") is None


def test_disable_is_told_as_a_change_and_leaves_what_runs_alone(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    world.run("a")
    changes: list[Change] = []
    world.roster.watchers.append(lambda change, spec: changes.append(change))
    world.submit(Verb.DISABLE, "a", "b")
    assert world.outcomes() == [("a", "ok", "disabled"), ("b", "ok", "disabled")]
    assert world.process("a").state is State.RUNNING
    assert [(change.id, change.reason) for change in changes] == [
        ("g:a", "disable asked by alice: deploy"),
        ("g:b", "disable asked by alice: deploy"),
    ]
    assert [world.answers[0]["outcomes"][0]["process"]["desire"]["kind"]] == ["disabled"]


def test_what_is_disabled_is_not_started_and_says_why(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    world.submit(Verb.DISABLE, "a")
    world.answers.clear()
    world.submit(Verb.START, "a", "b")
    world.spawned("b")
    assert world.outcomes()[0] == ("a", "refused", "disabled by alice: 'deploy'")
    assert world.outcomes()[1][1] == "ok"
    error = world.answers[0]["outcomes"][0]["error"]
    assert (error["code"], error["hint"]) == ("DISABLED", "fleetctl enable g:a")
    assert world.process("a").run == 0


def test_a_refused_restart_does_not_stop(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    world.submit(Verb.DISABLE, "a")
    world.answers.clear()
    world.submit(Verb.RESTART, "a")
    assert world.outcomes()[0][1] == "refused"
    assert world.process("a").state is State.RUNNING


def test_disable_now_stops_and_enable_now_starts(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.run("a")
    world.submit(Verb.DISABLE, "a", now=True)
    assert (world.answers, world.process("a").state) == ([], State.STOPPING)
    world.exited("a")
    assert world.outcomes() == [("a", "ok", "disabled and stopped")]
    world.answers.clear()
    world.submit(Verb.ENABLE, "a", now=True)
    world.spawned("a")
    assert world.outcomes() == [("a", "ok", "enabled and started")]
    assert world.desires.get("g:a") is None


def test_enable_alone_starts_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    world.submit(Verb.DISABLE, "a")
    world.answers.clear()
    world.submit(Verb.ENABLE, "a", "b")
    assert world.outcomes() == [("a", "ok", "enabled"), ("b", "unchanged", "not disabled")]
    assert world.process("a").run == 0


def test_a_disable_that_an_earlier_supervisor_wrote_down_is_done_and_not_unchanged(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.submit(Verb.DISABLE, "a")
    results = Results(str(tmp_path / "results"), world.now, print)
    results.note_begun("k", {"id": "op", "verb": "disable", "runs": {"g:a": 0}}, world.now)
    again = World(tmp_path, "a")
    again.submit(Verb.DISABLE, "a", key="k")
    assert again.outcomes() == [("a", "ok", "disabled")]
    again.answers.clear()
    again.submit(Verb.DISABLE, "a", op="another")
    assert again.outcomes() == [("a", "unchanged", "already disabled by alice: 'deploy'")]


def test_where_nothing_can_be_kept_a_stop_is_done_and_says_so(tmp_path: Path) -> None:
    world = World(tmp_path, "a", "b")
    world.run("a")
    (tmp_path / "desires.json.draft").mkdir()
    world.submit(Verb.STOP, "a")
    world.exited("a")
    assert world.outcomes() == [("a", "ok", "stopped")]
    error = world.answers[0]["outcomes"][0]["error"]
    assert error["code"] == "DESIRE_NOT_KEPT"
    assert "a restart of the agent will not know" in error["message"]
    world.answers.clear()
    world.submit(Verb.DISABLE, "b")
    assert world.outcomes()[0][1] == "failed"
    assert world.answers[0]["outcomes"][0]["error"]["code"] == "DESIRE_NOT_KEPT"
    assert world.desires.get("g:b") is None
    assert len(set(world.said)) == 1


def test_a_start_that_waited_for_the_disk_starts_nothing_once_all_is_being_stopped(tmp_path: Path) -> None:
    world = World(tmp_path, "a")
    world.refusal = "the agent is stopping everything"
    world.submit(Verb.START, "a")
    assert world.outcomes() == [("a", "refused", "the agent is stopping everything")]
    assert world.process("a").run == 0
