"""Keeper, supervisor, gateway, two of them or all are killed exactly between two steps; nothing is lost.

`programs/mined.py` runs the real agent with a mine in it. At each place one thing is asked for that leads
there, and whatever dies is replaced; the judge of `chaos` then looks at everything.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chaos.life import Life
from chaos.plan import Blow, Command, Episode, Program
from real.agent import PROGRAMS
from real.upgrades import other_version
from real.waiting import wait_for

MINED = [sys.executable, str(PROGRAMS / "mined.py")]
LOUD = Program("loud", "loud", "true", 0, False, 4_000)
SHORT = Program("short", "short", "true", 0, True, 8_000)
QUIET = Program("quiet", "quiet", "true", 0, False, 0)
FAMILY = Program("family", "family", "true", 0, True, 8_000)
RESTART = Command(0.0, "restart", "quiet", True)

KEEPER_PLACES = [
    "os.mkfifo before 1 -",
    "os.mkfifo after 1 -",
    "os.mkfifo after 2 -",
    "os.mkfifo after 3 -",
    "fleet_agent.keeper.fifos.open_held after 1 -",
    "fleet_agent.keeper.fifos.open_child after 1 -",
    "fleet_agent.keeper.spawn.start_child before 1 quiet",
    "fleet_agent.keeper.spawn.start_child after 1 quiet",
    "fleet_agent.keeper.holding.Holding.start after 1 quiet",
    "fleet_agent.keeper.supervisor_link.SupervisorLink.tell before 1 Spawned",
    "fleet_agent.keeper.supervisor_link.SupervisorLink.tell after 1 Spawned",
    "fleet_agent.keeper.run_records.RunRecords.write before 1 -",
    "fleet_agent.keeper.run_records.RunRecords.write after 1 -",
    "os.rename before 1 .json",
    "os.rename after 1 .json",
    "fleet_agent.keeper.shelf.Shelf.put before 1 -",
    "fleet_agent.keeper.shelf.Shelf.put after 1 -",
    "fleet_agent.keeper.holding.Holding.send_signal before 1 quiet",
    "fleet_agent.keeper.holding.Holding.send_signal after 1 quiet",
    "os.waitpid before 1 -",
    "os.waitpid after 1 -",
    "fleet_agent.keeper.holding.Holding.ended after 1 -",
    "fleet_agent.keeper.supervisor_link.SupervisorLink.tell before 1 Exited",
    "fleet_agent.keeper.supervisor_link.SupervisorLink.tell after 1 Exited",
    "fleet_agent.keeper.holding.Holding.release before 1 -",
    "fleet_agent.keeper.fifos.remove after 1 -",
    "fleet_agent.keeper.run_records.RunRecords.remove before 1 -",
    "fleet_agent.keeper.run_records.RunRecords.remove after 1 -",
]
SUPERVISOR_PLACES = [
    "fleet_agent.supervisor.results.Results.note_begun before 1 -",
    "fleet_agent.supervisor.results.Results.note_begun after 1 -",
    "fleet_agent.supervisor.journal.Journal.append before 1 quiet",
    "fleet_agent.supervisor.journal.Journal.append after 1 STOPPING",
    "fleet_agent.supervisor.journal.Journal.append after 1 STARTING",
    "fleet_agent.supervisor.journal.Journal.append after 1 RUNNING",
    "fleet_agent.supervisor.keeper_link.KeeperLink.send before 1 SendSignal",
    "fleet_agent.supervisor.keeper_link.KeeperLink.send after 1 SendSignal",
    "fleet_agent.supervisor.keeper_link.KeeperLink.send before 1 Spawn(",
    "fleet_agent.supervisor.keeper_link.KeeperLink.send after 1 Spawn(",
    "fleet_agent.supervisor.keeper_link.KeeperLink.send before 1 Release",
    "fleet_agent.supervisor.keeper_link.KeeperLink.send after 1 Release",
    "fleet_agent.supervisor.roster.Roster._tell before 1 quiet",
    "fleet_agent.supervisor.roster.Roster._tell after 1 quiet",
    "fleet_agent.supervisor.children.Children.on_spawned before 1 quiet",
    "fleet_agent.supervisor.children.Children.on_spawned after 1 quiet",
    "fleet_agent.supervisor.children.Children.on_exited before 1 quiet",
    "fleet_agent.supervisor.children.Children.on_exited after 1 quiet",
    "fleet_agent.supervisor.children.Children.on_drained before 1 -",
    "fleet_agent.supervisor.results.Results.note_result before 1 -",
    "fleet_agent.supervisor.results.Results.note_result after 1 -",
    "fleet_agent.supervisor.logs.inflight.Journal.announce before 1 -",
    "fleet_agent.supervisor.logs.inflight.Journal.announce after 1 -",
    "fleet_agent.supervisor.logs.logfile.LogFile.append before 1 -",
    "fleet_agent.supervisor.logs.logfile.LogFile.append after 1 -",
    "fleet_agent.supervisor.logs.inflight.Journal.clear before 1 -",
    "fleet_agent.supervisor.logs.inflight.Journal.clear after 1 -",
    "fleet_agent.supervisor.logs.logfile.LogFile._rotate before 1 -",
    "fleet_agent.supervisor.logs.logfile.LogFile._rotate after 1 -",
    "fleet_agent.supervisor.logs.sidecar.Sidecars.save before 1 -",
    "fleet_agent.supervisor.logs.sidecar.Sidecars.save after 1 -",
    "os.rename before 1 loud",
    "os.rename after 1 loud",
    "os.rename before 2 loud",
    "os.rename after 2 loud",
]
BEGINNING_PLACES = [
    "os.rename before 1 active.json",
    "os.rename after 1 active.json",
    "fleet_agent.supervisor.journal.Journal.begin before 1 -",
    "os.rename before 1 draft.journal",
    "os.rename after 1 draft.journal",
    "fleet_agent.supervisor.journal.Journal.begin after 1 -",
    "fleet_agent.supervisor.children.Children.take_over before 1 -",
    "fleet_agent.supervisor.children.Children.take_over after 1 -",
    "os.rename before 1 results",
    "os.rename after 1 results",
    "os.rename before 1 endpoint",
    "os.rename after 1 endpoint",
]
GATEWAY_PLACES = {
    "keeper": [
        "fleet_agent.keeper.offices.Gateways.start before 1 -",
        "fleet_agent.keeper.offices.Gateways.start after 1 -",
        "fleet_agent.keeper.supervisor_link.SupervisorLink.tell before 1 GatewayStarted",
    ],
    "supervisor": [
        "fleet_agent.supervisor.gateways.Gateways._launch before 1 -",
        "fleet_agent.supervisor.gateways.Gateways._launch after 1 -",
        "fleet_agent.supervisor.keeper_link.KeeperLink.send before 1 StartGateway",
    ],
}
STOP_PLACES = [
    "fleet_agent.supervisor.desires.Desires.change before 1 -",
    "fleet_agent.supervisor.desires.Desires.change after 1 -",
    "os.rename before 1 desires",
    "os.rename after 1 desires",
    "fleet_agent.supervisor.journal.Journal.append before 1 STOPPING",
    "fleet_agent.supervisor.journal.Journal.append after 1 STOPPING",
    "fleet_agent.supervisor.keeper_link.KeeperLink.send after 1 SendSignal",
    "fleet_agent.supervisor.trees.trees.Trees.ended before 1 family",
    "fleet_agent.supervisor.trees.trees.Trees.ended after 1 family",
    "fleet_agent.supervisor.trees.trees.Trees.act before 1 family",
    "fleet_agent.supervisor.trees.trees.Trees.act after 1 family",
    "fleet_agent.supervisor.journal.Journal.append before 1 STOPPED",
    "fleet_agent.supervisor.journal.Journal.append after 1 STOPPED",
]
UPGRADE_PLACES = {
    "keeper": [
        "fleet_agent.keeper.supervisors.Supervisors.replace before 1 -",
        "fleet_agent.keeper.supervisors.Supervisors.replace after 1 -",
        "fleet_agent.keeper.supervisors.Supervisors.waiting_spoke before 1 -",
        "fleet_agent.keeper.supervisor_link.SupervisorLink.tell after 1 Yield",
        "fleet_agent.keeper.supervisors.Supervisors.present_ended before 1 -",
        "fleet_agent.keeper.supervisors.Supervisors.switch before 1 -",
        "fleet_agent.keeper.supervisors.Supervisors.switch after 1 -",
    ],
    "supervisor": [
        "fleet_agent.supervisor.trial_run.TrialRun.__init__ after 1 -",
        "fleet_agent.supervisor.upgrading.Upgrading._keep before 1 -",
        "fleet_agent.supervisor.upgrading.Upgrading._keep after 1 -",
        "fleet_agent.supervisor.keeper_link.KeeperLink.send after 1 Replace",
        "fleet_agent.supervisor.agent.Agent.close before 1 -",
        "fleet_agent.supervisor.agent.Agent.close after 1 -",
    ],
}
SUCCESSION_PLACES = [
    "fleet_agent.keeper.supervisors.Supervisors.replace after 1 -",
    "fleet_agent.keeper.supervisors.Supervisors.waiting_spoke before 1 -",
    "os.execve before 1 succeed",
]


class Mined(Life):
    """A life that is cut off at a place."""

    def __init__(self, folder: Path, has_gateway: bool = False, other: Path | None = None) -> None:
        self.mine = folder / "mine"
        plan = Episode(0, 0, has_gateway, (LOUD, SHORT, QUIET, FAMILY), ())
        super().__init__(plan, folder, other, MINED)

    def arm(self, role: str, place: str, targets: str) -> None:
        self.told.append(f"{role} {place}: {targets} killed")
        name, when, count, word = place.split()
        draft = self.mine.with_suffix(".new")
        draft.write_text(f"{role} {name} {when} {count} {word} {targets}")
        draft.rename(self.mine)

    def fired(self) -> float:
        """Wait until it is cut off; the time of that."""
        fired = self.mine.with_suffix(".fired")
        wait_for(fired.exists, what="\n".join(self.told[-2:]), seconds=20)
        time = float(fired.read_text())
        fired.unlink()
        return time

    def check_after(self, place: str, targets: str) -> None:
        try:
            self.check()
        except Exception as error:
            raise AssertionError(f"{place}, {targets} killed: {error}\n{self.facts()}") from error


@pytest.fixture
def mined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mined]:
    monkeypatch.setenv("FLEET_TEST_MINE", str(tmp_path / "mine"))
    with Mined(tmp_path) as life:
        yield life


def visit(life: Mined, role: str, place: str, targets: str, lead: Callable[[], None] | None = None) -> None:
    """Be killed there: what `lead` does leads there; else that a process is restarted."""
    life.arm(role, place, targets)
    failures: list[BaseException] = []
    act = lead or (lambda: life.command(RESTART))
    asking = threading.Thread(target=life.guarded, args=(failures, act))
    asking.start()
    began = life.fired()
    if "keeper" in targets:
        life.start_again(began)
    asking.join()
    assert not failures, f"{place}: {failures}"
    life.check_after(place, targets)


def begin_again(life: Mined, place: str, targets: str) -> None:
    """Be killed there while an agent begins where another was killed."""
    life.arm("supervisor", place, targets)
    began = time.monotonic()
    for pid in [*life.office("keeper"), *life.office("supervisor")]:
        os.kill(pid, signal.SIGKILL)
    assert life.agent.keeper is not None
    life.agent.keeper.wait()
    life.agent.launch()
    life.fired()
    if "keeper" in targets:
        life.start_again(began)
    else:
        life.wait_up(began)
    life.check_after(place, targets)


SETS = ["keeper", "supervisor", "keeper,supervisor"]


@pytest.mark.parametrize("targets", SETS)
def test_killed_at_each_step_of_the_keeper(mined: Mined, targets: str) -> None:
    for place in KEEPER_PLACES:
        visit(mined, "keeper", place, targets)
    mined.finish()


@pytest.mark.parametrize("targets", SETS)
def test_killed_at_each_step_of_the_supervisor(mined: Mined, targets: str) -> None:
    for place in SUPERVISOR_PLACES:
        visit(mined, "supervisor", place, targets)
    mined.finish()


@pytest.mark.parametrize("targets", SETS)
def test_killed_at_each_step_of_a_stop(mined: Mined, targets: str) -> None:
    for place in STOP_PLACES:
        visit(
            mined, "supervisor", place, targets, lambda: mined.command(Command(0.0, "stop", "family", True))
        )
        mined.command(Command(0.0, "start", "family", True))
    mined.finish()


@pytest.mark.parametrize("targets", SETS)
def test_killed_at_each_step_of_a_beginning(mined: Mined, targets: str) -> None:
    for place in BEGINNING_PLACES:
        begin_again(mined, place, targets)
    mined.finish()


@pytest.mark.parametrize("role", GATEWAY_PLACES)
@pytest.mark.parametrize(
    "targets", ["gateway", "gateway,keeper", "gateway,supervisor", "gateway,supervisor,keeper"]
)
def test_killed_at_each_step_of_the_start_of_a_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, targets: str
) -> None:
    monkeypatch.setenv("FLEET_TEST_MINE", str(tmp_path / "mine"))
    with Mined(tmp_path, has_gateway=True) as life:
        for place in GATEWAY_PLACES[role]:
            wait_for(lambda: life.agent.hello()["gateway_pid"], what="a gateway")
            visit(life, role, place, targets, lambda: life.strike(Blow(0.0, "kill", ("gateway",))))
        wait_for(lambda: life.agent.hello()["gateway_pid"], what="a gateway")
        life.finish()


def be_upgraded(life: Mined, role: str, place: str, targets: str, version: str) -> None:
    """Be killed there in an upgrade; then have an agent with mines again."""
    visit(life, role, place, targets, lambda: life.command(Command(0.0, "upgrade", "", False, version)))
    if role == "supervisor" or "keeper" not in targets:
        life.strike(Blow(0.0, "kill", ("keeper", "supervisor")))


@pytest.mark.parametrize("role", UPGRADE_PLACES)
@pytest.mark.parametrize("targets", SETS)
def test_killed_at_each_step_of_an_upgrade(mined: Mined, role: str, targets: str) -> None:
    for place in UPGRADE_PLACES[role]:
        be_upgraded(mined, role, place, targets, "same")
    mined.finish()


@pytest.mark.parametrize("targets", SETS)
def test_killed_at_each_step_of_a_change_of_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, targets: str
) -> None:
    monkeypatch.setenv("FLEET_TEST_MINE", str(tmp_path / "mine"))
    other = other_version(tmp_path, keeper="import os as _of_another_version")
    with Mined(tmp_path, other=other) as life:
        for place in SUCCESSION_PLACES:
            be_upgraded(life, "keeper", place, targets, "other")
        life.finish()


def test_killed_at_the_first_step_of_the_next_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEET_TEST_MINE", str(tmp_path / "mine"))
    flag = tmp_path / "flag"
    dying = (
        "import os as _os, signal as _signal, sys as _sys\n"
        f"if 'succeed' in _sys.argv and '--check' not in _sys.argv and _os.path.exists({str(flag)!r}):\n"
        "    _os.kill(_os.getpid(), _signal.SIGKILL)\n"
    )
    other = other_version(tmp_path, keeper=dying)
    with Mined(tmp_path, other=other) as life:
        for _ in range(3):
            flag.touch()
            began = time.monotonic()
            life.command(Command(0.0, "upgrade", "", False, "other"))
            assert life.agent.keeper is not None
            assert life.agent.keeper.wait(20) == -signal.SIGKILL
            flag.unlink()
            life.start_again(began)
            life.check_after("the next keeper's first step", "keeper")
        life.finish()
