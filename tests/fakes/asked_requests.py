"""Requests over a real session, before a small roster and rooms that only note what they are asked."""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from fakes.loop_turns import turn_until
from fakes.planted_trees import PlantedTrees
from fakes.rude_client import RudeClient
from fakes.small_roster import SmallRoster, a_spec, at_once
from fleet_agent.config.settings import FleetSettings
from fleet_agent.core.model import LogSpec
from fleet_agent.link.channel import Channel
from fleet_agent.supervisor.desires import Aside
from fleet_agent.supervisor.epochs import Epochs
from fleet_agent.supervisor.gateways import Gateways
from fleet_agent.supervisor.logs.worker import LogWorker
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.operations import Operations
from fleet_agent.supervisor.requests import Identity, Requests
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.sessions import Session
from fleet_agent.supervisor.stalls import Stalls
from fleet_agent.supervisor.trees.trees import Trees
from fleet_agent.supervisor.troubles import Troubles
from fleet_agent.supervisor.upgrading import Upgrading
from fleet_agent.supervisor.watching import Watching
from fleet_api.errors import Conflict
from fleet_api.frames import Frame


class AskedUpgrades:
    """What was asked of upgrading; the first is about to happen, others are refused."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def begin(self, id_: str, python: str, actor: str, answer: Callable[[Any], None]) -> None:
        self.asked.append((id_, python, actor))
        if len(self.asked) == 1:
            answer({"id": id_, "result": "switching"})
        else:
            answer(Conflict("UPGRADE_REFUSED", "no"))

    def result(self, id_: str) -> dict[str, Any]:
        return {"id": id_, "result": "done"}


class AskedLogs:
    """Stands in for the log worker: what it was asked."""

    def __init__(self) -> None:
        self.described: list[tuple[int, str, str, LogSpec, bool]] = []
        self.forgotten: list[int] = []

    def describe(self, request: int, process: str, stream: str, log: LogSpec, follow: bool) -> None:
        self.described.append((request, process, stream, log, follow))

    def forget(self, request: int) -> None:
        self.forgotten.append(request)


class World(SmallRoster):
    """Requests over a real session; processes `a`, `b`, `quiet` (without logs) and `merged`."""

    def __init__(self, folder: Path, is_gateway: bool = False) -> None:
        both = {"stdout": LogSpec("/log/out"), "stderr": LogSpec("/log/err")}
        super().__init__(
            folder,
            a_spec("a", **both),
            a_spec("b", **both),
            a_spec("quiet"),
            a_spec("merged", redirect_stderr=True, **both),
        )
        watching = Watching(self.loop, self.roster, self.journal, "host-1", lambda: self.now)
        results = Results(str(folder / "results"), self.now, print)
        self.refusal = ""
        operations = Operations(
            self.roster, results, self.desires, lambda: self.now, watching.position, lambda: self.refusal
        )
        self.logs = AskedLogs()
        self.upgrading = AskedUpgrades()
        self.turns = Loop(time.monotonic)
        self.troubles = Troubles(self.turns, lambda: self.now, print)
        self.busy = 0.0, ""
        self.keeper_owes = 0.0
        settings = FleetSettings(insecure_plaintext=True)
        gateways = Gateways(
            self.turns, settings, str(folder / "port"), lambda *_: None, print, lambda: None, print
        )
        gateways.pid = 55
        self.trees = PlantedTrees()
        self.aside: Aside = at_once
        self.epochs = Epochs(
            str(folder / "epochs.json"),
            self.turns,
            lambda *act: self.aside(*act),  # noqa: PLW0108 - tests put another in its place
            print,
        )
        self.requests = Requests(
            self.roster,
            operations,
            watching,
            cast(LogWorker, self.logs),
            gateways,
            lambda: self.now,
            Identity("1.2.3", "host-1", 7, "supervisor", "/etc/agent.conf", 4000.0),
            self.epochs,
            self.troubles,
            Stalls(self.turns, lambda _: self.busy, self.troubles),
            cast(Trees, self.trees),
            lambda: self.keeper_owes,
            cast(Upgrading, self.upgrading),
            lambda: self.refusal,
        )
        ours, theirs = socket.socketpair()
        self.session = Session(
            self.turns, Channel(ours), "root", self.requests, lambda _: None, is_gateway=is_gateway
        )
        self.client = RudeClient(theirs, self.turns)
        self._number = 0

    def ask(self, do: str, **arguments: Any) -> Frame:
        self._number += 1
        (answer,) = self.client.ask({"id": self._number, "do": do, **arguments})
        assert answer["id"] == self._number
        return answer

    def begin(self, do: str, **arguments: Any) -> int:
        """Ask without waiting for an answer; the id."""
        self._number += 1
        self.client.say({"id": self._number, "do": do, **arguments})
        return self._number

    def log_request(self) -> int:
        """The number under which the log worker was asked last."""
        count = len(self.logs.described)
        turn_until(self.turns, lambda: self.logs.described)
        assert count <= len(self.logs.described)
        return self.logs.described[-1][0]

    def close(self) -> None:
        self.client.close()
        self.session.close()
