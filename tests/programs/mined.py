"""fleet-agent with a mine in it: a place between two steps where its processes are killed, once.

    mined.py run ...          the agent, as `fleet-agent run ...`; starts its supervisor as
    mined.py supervisor ...   the supervisor

The file named by FLEET_TEST_MINE arms it: `ROLE PLACE WHEN COUNT WORD TARGET,TARGET`. When ROLE passes
PLACE (a dotted name of `PLACES`) for the COUNT-th time, before or after (WHEN) it is done, with WORD in its
arguments (- for any), the targets (keeper, supervisor, gateway) are killed, itself at last; *.fired then
holds the time on the monotonic clock. Supervisors that die young are replaced without a pause.
"""

import functools
import importlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from real.offices import children, is_office

FILE = os.environ["FLEET_TEST_MINE"]
PLACES = {
    "keeper": (
        "os.mkfifo",
        "os.rename",
        "os.waitpid",
        "fleet_agent.keeper.fifos.open_held",
        "fleet_agent.keeper.fifos.open_child",
        "fleet_agent.keeper.fifos.remove",
        "fleet_agent.keeper.spawn.start_child",
        "fleet_agent.keeper.run_records.RunRecords.write",
        "fleet_agent.keeper.run_records.RunRecords.remove",
        "fleet_agent.keeper.shelf.Shelf.put",
        "fleet_agent.keeper.holding.Holding.start",
        "fleet_agent.keeper.holding.Holding.send_signal",
        "fleet_agent.keeper.holding.Holding.ended",
        "fleet_agent.keeper.holding.Holding.release",
        "fleet_agent.keeper.supervisor_link.SupervisorLink.tell",
        "fleet_agent.keeper.offices.Gateways.start",
        "fleet_agent.keeper.supervisors.Supervisors.replace",
        "fleet_agent.keeper.supervisors.Supervisors.waiting_spoke",
        "fleet_agent.keeper.supervisors.Supervisors.present_ended",
        "fleet_agent.keeper.supervisors.Supervisors.switch",
        "os.execve",
    ),
    "supervisor": (
        "os.rename",
        "os.unlink",
        "fleet_agent.supervisor.journal.Journal.append",
        "fleet_agent.supervisor.journal.Journal.begin",
        "fleet_agent.supervisor.roster.Roster._tell",
        "fleet_agent.supervisor.keeper_link.KeeperLink.send",
        "fleet_agent.supervisor.children.Children.on_spawned",
        "fleet_agent.supervisor.children.Children.on_exited",
        "fleet_agent.supervisor.children.Children.on_drained",
        "fleet_agent.supervisor.children.Children.take_over",
        "fleet_agent.supervisor.results.Results.note_begun",
        "fleet_agent.supervisor.results.Results.note_result",
        "fleet_agent.supervisor.gateways.Gateways._launch",
        "fleet_agent.supervisor.trial_run.TrialRun.__init__",
        "fleet_agent.supervisor.upgrading.Upgrading._keep",
        "fleet_agent.supervisor.upgrading.Upgrading._switch",
        "fleet_agent.supervisor.agent.Agent.close",
        "fleet_agent.supervisor.desires.Desires.change",
        "fleet_agent.supervisor.trees.trees.Trees.act",
        "fleet_agent.supervisor.trees.trees.Trees.ended",
        "fleet_agent.supervisor.logs.inflight.Journal.announce",
        "fleet_agent.supervisor.logs.inflight.Journal.clear",
        "fleet_agent.supervisor.logs.logfile.LogFile.append",
        "fleet_agent.supervisor.logs.logfile.LogFile._rotate",
        "fleet_agent.supervisor.logs.sidecar.Sidecars.save",
    ),
}
_rename, _unlink = os.rename, os.unlink
_passed = 0


def main() -> int:
    role = {"run": "keeper", "succeed": "keeper"}.get(sys.argv[1], sys.argv[1])
    module = importlib.import_module({"keeper": "fleet_agent.main"}.get(role, f"fleet_agent.{role}.main"))
    for place in PLACES[role]:
        lay(role, place)
    if role == "supervisor":
        return int(module.main(sys.argv[2:]))
    run: Any = importlib.import_module("fleet_agent.commands.run")
    offices: Any = importlib.import_module("fleet_agent.keeper.offices")
    offices.YOUNG_SECONDS = 0.0
    plain = run.version_of

    def version_of(*words: str) -> Any:
        version = plain(*words)
        supervisor = [sys.executable, "-P", __file__, "supervisor", *version.supervisor[3:]]
        keeper = [sys.executable, "-P", __file__, *version.keeper[3:]]
        return version._replace(supervisor=supervisor, keeper=keeper)

    run.version_of = version_of
    return int(module.main(sys.argv[1:]))


def lay(role: str, place: str) -> None:
    """Let everybody who passes this place look at the mine."""
    owner: Any = None
    words = place.split(".")
    for count in range(len(words) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(words[:count]))
            break
        except ImportError:
            continue
    for word in words[count:-1]:
        owner = getattr(owner, word)
    original: Callable[..., Any] = getattr(owner, words[-1])

    @functools.wraps(original)
    def mined(*arguments: Any, **named: Any) -> Any:
        passing(role, place, "before", arguments)
        result = original(*arguments, **named)
        passing(role, place, "after", arguments)
        return result

    setattr(owner, words[-1], mined)


def passing(role: str, place: str, when: str, arguments: tuple[Any, ...]) -> None:
    global _passed  # noqa: PLW0603
    try:
        with open(FILE, encoding="utf-8") as file:
            of_role, of_place, of_when, count, word, targets = file.read().split()
    except (FileNotFoundError, ValueError):
        return
    if (role, place, when) != (of_role, of_place, of_when) or (word != "-" and word not in str(arguments)):
        return
    _passed += 1
    if _passed < int(count):
        return
    _passed = 0
    with open(f"{FILE}.draft", "w", encoding="utf-8") as file:
        file.write(repr(time.monotonic()))
    _rename(f"{FILE}.draft", f"{FILE}.fired")
    _unlink(FILE)
    pids = [pid for target in targets.split(",") if target != role for pid in pids_of(role, target)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    if role in targets.split(","):
        os.kill(os.getpid(), signal.SIGKILL)


def pids_of(role: str, target: str) -> list[int]:
    keeper = os.getpid() if role == "keeper" else os.getppid()
    return [keeper] if target == "keeper" else [pid for pid in children(keeper) if is_office(pid, target)]


sys.exit(main())
