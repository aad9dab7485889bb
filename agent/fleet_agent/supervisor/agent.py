"""The supervisor as a whole: puts its rooms together and carries out what they decide.

It begins when the keeper has told all it holds, and goes on where an earlier supervisor ended: with the
configuration in force, the journal and the children.
"""

import gc
import os
import sys

from fleet_api.paths import AgentPaths
from fleet_api.version import VERSION

from fleet_agent.config.settings import AgentConfig
from fleet_agent.core import events
from fleet_agent.core.log_lines import INFO, WARN, LogLine, move_line
from fleet_agent.core.model import ProcessSpec
from fleet_agent.link.messages import (
    Asked,
    Begin,
    Child,
    Exited,
    GatewayEnded,
    GatewayStarted,
    Hello,
    Here,
    Keep,
    Kept,
    Message,
    Ping,
    Pong,
    Prepared,
    Ready,
    ReplaceFailed,
    Settled,
    SignalFailed,
    Spawned,
    SpawnFailed,
    ToKeeper,
    WriteAs,
    Yield,
)
from fleet_agent.supervisor import history, resuming, stalls
from fleet_agent.supervisor.acting import Acting
from fleet_agent.supervisor.active import ActiveConfig
from fleet_agent.supervisor.announcement import Announcement
from fleet_agent.supervisor.aside import AsideThread
from fleet_agent.supervisor.children import Children, Found, named
from fleet_agent.supervisor.desires import Desires
from fleet_agent.supervisor.door import Door, KeptSocket
from fleet_agent.supervisor.ending import LOG_DRAIN_SECONDS, Ending
from fleet_agent.supervisor.epochs import Epochs
from fleet_agent.supervisor.gateways import Gateways
from fleet_agent.supervisor.journal import Change, Journal
from fleet_agent.supervisor.keeper_link import KeeperLink
from fleet_agent.supervisor.keeper_pulse import KeeperPulse
from fleet_agent.supervisor.logs.activity import LEVELS
from fleet_agent.supervisor.logs.worker import Drained, LogWorker, RunClosed
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.operations import Operations
from fleet_agent.supervisor.requests import Identity, Requests
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.rewriting import Writer, elsewhere
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.settling import Settling
from fleet_agent.supervisor.stalls import Stalls
from fleet_agent.supervisor.trees.trees import Trees, agent_mark
from fleet_agent.supervisor.troubles import Troubles
from fleet_agent.supervisor.upgrading import Place, Upgrading
from fleet_agent.supervisor.watching import Watching
from fleet_agent.supervisor.world import World

STARTED_SECONDS = 3.0
"""When the bustle of a start is over, about."""


class Agent:
    """Owns everything of one supervisor's life; `has_begun` once it supervises."""

    def __init__(
        self,
        loop: Loop,
        world: World,
        paths: AgentPaths,
        active: ActiveConfig,
        link_fd: int,
    ) -> None:
        self._loop = loop
        self._world = world
        self._paths = paths
        self._active = active
        self._link = KeeperLink(loop, link_fd, self._on_message, self._on_keeper_end)
        self._kept: dict[str, KeptSocket] = {}
        self._journal_folder = os.path.join(paths.runtime, "journal")
        self._kept_journal = os.path.join(paths.state, "journal")
        self._found: list[Found] = []
        self._hello: Hello | None = None
        self._door: Door | None = None
        self._troubles = Troubles(loop, world.clock, self._warn)
        self._keeper_pulse = KeeperPulse(loop, self._send, self._troubles)
        self._is_followed = False
        self.has_begun = False
        self._send(Prepared())

    # ------------------------------------------------------------------ from the keeper

    def _on_message(self, message: Message, fds: list[int]) -> None:
        self._keeper_pulse.heard()
        match message:
            case Hello():
                self._hello = message
                self._keeper_pulse.is_heeded = message.heeds_calls
            case Kept():
                self._kept[message.name] = KeptSocket(fds[0], message.note)
            case Child():
                self._found.append(Found(message, named(message.streams, fds)))
            case Begin():
                self._begin()
            case Spawned():
                self._children.on_spawned(message, fds)
            case SpawnFailed():
                self._children.on_spawn_failed(message)
            case Exited():
                self._children.on_exited(message)
            case SignalFailed():
                error = f"signal {message.signal}: {os.strerror(message.errno)}"
                if message.process in self._roster:
                    self._roster.apply(message.process, events.SignalFailed(message.run, error))
            case GatewayStarted():
                self._gateways.pid = message.pid
            case GatewayEnded():
                if not self._ending.has_begun:
                    self._gateways.on_ended(message, self._loop.now())
            case Here():
                self._keeper_pulse.answered()
            case Yield():
                self._inform("giving way to the next version")
                self._is_followed = True
                self._loop.stop()
            case ReplaceFailed():
                self._upgrading.failed(message)
            case Asked():
                self._ending.ask(message.what, message.signal)
            case Ping():
                self._send(Pong())
            case _:
                self._warn(f"the keeper says what is not its to say: {type(message).__name__}")

    def _on_keeper_end(self, reason: str) -> None:
        # Without a keeper nothing can be done; the children live on and the next keeper finds them.
        if self.has_begun:
            self._warn(f"leaving: {reason}")
        self._loop.stop()

    def close(self) -> None:
        """Take away what nobody may find any more, and write what is left to write."""
        if self.has_begun:
            if self._door is not None and self._is_followed:
                self._door.leave()
            elif self._door is not None:
                self._door.close()
            self._gateways.close()
            self._logs.stop(LOG_DRAIN_SECONDS)

    # ------------------------------------------------------------------ beginning

    def _begin(self) -> None:
        assert self._hello is not None
        hello = self._hello
        os.makedirs(self._journal_folder, 0o700, exist_ok=True)
        report = self._troubles.about(
            "journal", self._journal_folder, lambda: journal.catch_up(self._roster.states())
        )
        journal = Journal(self._journal_folder, hello.boot_id, report)
        restored, loss = history.restore(journal, self._journal_folder, self._kept_journal)
        # A supervisor goes on with what is in force; an agent that is started reads its file.
        is_first = hello.supervisor_number == 1
        goes_on = restored is not None and restored.lives_on and not is_first
        config = self._active.load(goes_on, has_children=bool(self._found))
        self._build(config, journal, hello)
        if loss:
            self._warn(f"changes are numbered anew: {loss}")
        # Before anything is noted down or started: an agent whose port is taken does not begin at all.
        self._gateways.reserve(is_first)
        self.has_begun = True
        self._inform(
            f"fleet-agent started with pid {hello.keeper_pid}" if is_first else "supervisor replaced"
        )
        self._inform(self._trees.begin(config.fleet.cgroups))
        found, self._found = self._found, []
        resuming.go_on(
            config.groups,
            self._roster,
            journal,
            self._children,
            restored,
            found,
            self._world.clock(),
            self._world.new_id(),
            self._desires,
        )
        self._door = Door(
            self._loop,
            self._paths.door,
            self._requests,
            self._warn,
            self._troubles.about("door", self._paths.door),
            self._kept.get("door"),
            self._keep_door,
        )
        self._announcement.make(self._gateways.address)
        self._gateways.open(self._requests)
        self._upgrading.resume(hello)
        if "stop" in hello.asked:
            self._ending.ask("stop", "SIGTERM")
        else:
            resuming.autostart(self._roster)
        # What has been built stays as long as we do: no collection need look through it again.
        gc.freeze()
        # Python keeps room for as many messages as a start needs, until it collects.
        self._loop.after(STARTED_SECONDS, gc.collect)
        self._send(Ready())

    def _build(self, config: AgentConfig, journal: Journal, hello: Hello) -> None:
        clock = self._world.clock
        daemon = config.daemon
        self._config = config
        self._host_id = config.fleet.host_id or self._world.host_name
        self._logs = LogWorker(
            self._paths.runtime,
            self._paths.state,
            self._loop.waker(self._take_log_results),
            self._world.new_id,
            self._troubles.note,
            soon=self._loop.soon,
            begun=self._loop.waker(lambda: self._stalls.begun()),  # noqa: PLW0108 - made below
        )
        # Where the activity log may not be able to tell.
        self._troubles.said.update((stalls.KIND, daemon.logfile))
        self._stalls = Stalls(self._loop, self._logs.busy, self._troubles)
        self._logs.configure_activity(
            daemon.logfile,
            daemon.logfile_maxbytes,
            daemon.logfile_backups,
            LEVELS[daemon.loglevel],
            not daemon.silent,
        )
        self._logs.start()
        self._roster = Roster(self._loop, journal, clock, lambda *effect: self._acting.act(*effect))  # noqa: PLW0108 - made below
        self._roster.watchers.append(self._log_move)
        self._trees = Trees(
            self._loop,
            agent_mark(self._paths.runtime),
            hello.keeper_pid,
            self._roster.apply_if_known,
            self._warn,
        )
        self._acting = Acting(
            self._loop,
            daemon,
            self._world.environ,
            self._trees,
            self._keeper_pulse.ask,
            self._report,
            lambda *failed: self._children.on_cannot_spawn(*failed),  # noqa: PLW0108 - made below
        )
        self._roster.is_populated = self._trees.is_populated
        self._children = Children(
            self._loop,
            self._roster,
            self._logs,
            self._trees,
            self._send,
            self._report,
            daemon.strip_ansi,
            self._troubles.about("start of processes", ""),
        )
        self._watching = Watching(self._loop, self._roster, journal, self._host_id, clock)
        results_path = os.path.join(self._paths.runtime, "results")
        report = self._troubles.about("results", results_path, lambda: results.catch_up())  # noqa: PLW0108 - made below
        results = Results(results_path, clock(), report)
        aside = AsideThread(self._loop)
        self._desires = Desires(
            os.path.join(self._paths.state, "desires.json"),
            self._loop,
            aside,
            self._roster.__contains__,
            self._warn,
            self._troubles.about("wishes of operators", ""),
        )
        self._announcement = Announcement(
            self._paths.endpoint,
            daemon.pidfile,
            self._host_id,
            hello.keeper_pid,
            self._paths.door,
            self._troubles.about,
        )
        self._ending = Ending(
            self._loop,
            self._roster,
            self._logs,
            self._trees,
            self._announcement,
            (self._journal_folder, self._kept_journal),
            self._take_log_results,
            self._send,
            self._report,
        )
        operations = Operations(
            self._roster, results, self._desires, clock, self._watching.position, self._ending.refusal
        )
        epochs = Epochs(os.path.join(self._paths.state, "epochs.json"), self._loop, aside, self._warn)
        for unreadable in (results.unreadable, epochs.unreadable):
            if unreadable:
                self._warn(f"{unreadable}; what it told is not known here")
        writers = {
            "run_record": elsewhere(lambda version: self._send(WriteAs("run_record", version))),
            "handover": elsewhere(lambda version: self._send(WriteAs("handover", version))),
            "journal": Writer(lambda: journal.version, journal.write_as),
            "results": Writer(lambda: results.version, results.write_as),
            "active": Writer(lambda: self._active.version, self._active.write_as),
            "epochs": Writer(lambda: epochs.version, epochs.write_as),
            "desires": Writer(lambda: self._desires.version, self._desires.write_as),
            "sidecar": Writer(lambda: self._logs.records_version, self._logs.write_records_as),
        }
        settling = Settling(self._loop, writers, lambda: self._send(Settled()), self._warn)
        identity = Identity(
            VERSION, self._host_id, hello.keeper_pid, daemon.identifier, config.path, clock().wall
        )
        self._gateways = Gateways(
            self._loop,
            config.fleet,
            os.path.join(self._paths.runtime, "port"),
            self._link.send,
            self._warn,
            lambda: self._announcement.tell_address(self._gateways.address),
            self._troubles.about("gateway", ""),
        )
        self._upgrading = Upgrading(
            self._loop,
            os.path.join(self._paths.runtime, "upgrade.json"),
            Place(self._active.path, self._world.state_dir),
            sys.executable,
            VERSION,
            hello.fingerprint,
            self._world.environ,
            lambda: clock().wall,
            self._send,
            settling.versions,
            settling.write_as,
            self._inform,
        )
        self._requests = Requests(
            self._roster,
            operations,
            self._watching,
            self._logs,
            self._gateways,
            clock,
            identity,
            epochs,
            self._troubles,
            self._stalls,
            self._trees,
            self._keeper_pulse.owes,
            self._upgrading,
            self._ending.refusal,
        )

    def _keep_door(self, fd: int, note: str) -> None:
        self._link.send(Keep("door", note), [fd])

    # ------------------------------------------------------------------ acting

    def _send(self, message: ToKeeper) -> None:
        self._link.send(message)

    # ------------------------------------------------------------------ telling

    def _take_log_results(self) -> None:
        for result in self._logs.results():
            if isinstance(result, Drained | RunClosed):
                self._children.on_drained(result)
            else:
                self._requests.on_log_result(result)

    def _log_move(self, change: Change, spec: ProcessSpec) -> None:
        line = move_line(spec, change.old, change.process)
        if line is not None and not change.removed:
            self._report(line)

    def _inform(self, text: str) -> None:
        self._report(LogLine(INFO, text))

    def _warn(self, text: str) -> None:
        self._report(LogLine(WARN, text))

    def _report(self, line: LogLine) -> None:
        self._logs.activity(line.level, line.text)
