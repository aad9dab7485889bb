"""The supervisor as a whole: puts its rooms together and carries out what they decide.

It begins when the keeper has told all it holds, and goes on where an earlier supervisor ended: with the
configuration in force, the journal and the children.
"""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from fleet_api.paths import AgentPaths
from fleet_api.version import VERSION

from fleet_agent.config.settings import AgentConfig
from fleet_agent.core import events
from fleet_agent.core.log_lines import INFO, WARN, LogLine, move_line
from fleet_agent.core.model import Now, Process, ProcessSpec
from fleet_agent.link.messages import (
    Asked,
    Begin,
    Child,
    Exited,
    GatewayEnded,
    GatewayStarted,
    Hello,
    Leave,
    Message,
    Ready,
    SendSignal,
    SignalFailed,
    Spawned,
    SpawnFailed,
    ToKeeper,
)
from fleet_agent.supervisor import spawning
from fleet_agent.supervisor.active import ActiveConfig
from fleet_agent.supervisor.children import Children, Found
from fleet_agent.supervisor.door import Door
from fleet_agent.supervisor.epochs import Epochs
from fleet_agent.supervisor.gateways import Gateways
from fleet_agent.supervisor.journal import Change, Journal, Restored
from fleet_agent.supervisor.keeper_link import KeeperLink
from fleet_agent.supervisor.logs.worker import Drained, LogTrouble, LogWorker, RunClosed
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.operations import Operations
from fleet_agent.supervisor.requests import Identity, Requests
from fleet_agent.supervisor.results import Results
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.shutdown import Shutdown
from fleet_agent.supervisor.watching import Watching
from fleet_agent.supervisor.whole_file import write_whole

LOG_DRAIN_SECONDS = 5.0
LEVELS = {"critical": 50, "error": 40, "warn": 30, "info": 20, "debug": 10, "trace": 5, "blather": 3}


class World(NamedTuple):
    """What comes from outside: clocks, ids and the environment."""

    clock: Callable[[], Now]
    new_id: Callable[[], str]
    environ: Mapping[str, str]
    host_name: str


class Agent:
    """Owns everything of one supervisor's life."""

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
        self._found: list[Found] = []
        self._hello: Hello | None = None
        self._shutdown: Shutdown | None = None
        self._has_begun = False

    # ------------------------------------------------------------------ from the keeper

    def _on_message(self, message: Message, fds: list[int]) -> None:
        match message:
            case Hello():
                self._hello = message
            case Child():
                self._found.append(Found(message, dict(zip(message.streams, fds, strict=False))))
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
                if self._shutdown is None:
                    self._gateways.on_ended(message, self._loop.now())
            case Asked():
                self._on_asked(message.what, message.signal)
            case _:
                self._warn(f"the keeper says what is not its to say: {type(message).__name__}")

    def _on_keeper_end(self, reason: str) -> None:
        # Without a keeper nothing can be done; the children live on and the next keeper finds them.
        if self._has_begun:
            self._warn(f"leaving: {reason}")
        self._loop.stop()

    def close(self) -> None:
        """Take away what nobody may find any more, and write what is left to write."""
        if self._has_begun:
            self._door.close()
            self._gateways.close()
            self._logs.stop(LOG_DRAIN_SECONDS)

    # ------------------------------------------------------------------ beginning

    def _begin(self) -> None:
        assert self._hello is not None
        hello = self._hello
        journal_folder = os.path.join(self._paths.runtime, "journal")
        os.makedirs(journal_folder, 0o700, exist_ok=True)
        journal = Journal(journal_folder, hello.boot_id, self._warn)
        restored = journal.restore()
        if restored is not None and restored.has_left:
            restored = restored._replace(processes={})
        config = self._active.load(goes_on=restored is not None and bool(restored.processes))
        self._build(config, journal, hello)
        self._go_on(config, journal, restored)
        self._has_begun = True
        self._open_doors(config, is_first=restored is None or not restored.processes)
        if "stop" in hello.asked:
            self._on_asked("stop", "SIGTERM")
        else:
            self._autostart()
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
        )
        self._logs.configure_activity(
            daemon.logfile,
            daemon.logfile_maxbytes,
            daemon.logfile_backups,
            LEVELS[daemon.loglevel],
            not daemon.silent,
        )
        self._logs.start()
        self._roster = Roster(self._loop, journal, clock, self._act)
        self._roster.watchers.append(self._log_move)
        self._children = Children(self._roster, self._logs, self._send, self._report, daemon.strip_ansi)
        self._watching = Watching(self._roster, journal, self._host_id, clock)
        results = Results(os.path.join(self._paths.runtime, "results"), clock().wall)
        operations = Operations(self._roster, results, clock, self._watching.position)
        identity = Identity(
            VERSION, self._host_id, hello.keeper_pid, daemon.identifier, config.path, clock().wall
        )
        port_file = os.path.join(self._paths.runtime, "port")
        self._gateways = Gateways(
            self._loop,
            config.fleet,
            port_file,
            self._link.send,
            self._warn,
        )
        self._requests = Requests(
            self._roster,
            operations,
            self._watching,
            self._logs,
            self._gateways,
            clock,
            identity,
            Epochs(os.path.join(self._paths.state, "epochs.json")),
            lambda: "the agent is stopping everything" if self._shutdown else "",
        )

    def _go_on(self, config: AgentConfig, journal: Journal, restored: Restored | None) -> None:
        known = restored.processes if restored else {}
        for group in config.groups:
            self._roster.add(group, known)
        incarnation = restored.incarnation if restored else self._world.new_id()
        journal.begin(incarnation, restored.sequence if restored else 0, self._roster.states())
        found, self._found = self._found, []
        self._children.take_over(found, self._world.clock())
        self._roster.arm_all()

    def _open_doors(self, config: AgentConfig, is_first: bool) -> None:
        self._door = Door(self._loop, self._paths.door, self._requests, self._warn)
        self._gateways.open(self._requests, is_first)
        assert self._hello is not None
        keeper_pid = self._hello.keeper_pid
        endpoint = {
            "version": 1,
            "host_id": self._host_id,
            "pid": keeper_pid,
            "door": self._paths.door,
            "grpc": self._gateways.address or None,
        }
        self._write(self._paths.endpoint, json.dumps(endpoint))
        if config.daemon.pidfile:
            self._write(config.daemon.pidfile, f"{keeper_pid}\n")

    def _write(self, path: str, text: str) -> None:
        try:
            write_whole(path, text)
        except OSError as error:
            self._warn(f"could not write {path}: {error.strerror}")

    def _autostart(self) -> None:
        for member in tuple(self._roster.members()):
            # Only what nobody has touched: a journal may tell of an operator's stop.
            if member.spec.autostart and member.process == Process():
                self._roster.apply(member.spec.id, events.StartAsked("autostart"))

    # ------------------------------------------------------------------ acting

    def _act(self, spec: ProcessSpec, process: Process, effect: events.Effect) -> None:
        if isinstance(effect, events.SendSignal):
            self._send(SendSignal(spec.id, effect.run, effect.signal, effect.ordinal, effect.to_group))
            return
        try:
            request = spawning.build(spec, effect.run, self._config.daemon, "", self._world.environ)
        except spawning.CannotSpawn as error:
            failed = events.SpawnFailed(effect.run, str(error))
            self._loop.soon(lambda: self._apply_late(spec.id, failed))
            return
        self._send(request)

    def _apply_late(self, id_: str, event: events.Event) -> None:
        if id_ in self._roster:
            self._roster.apply(id_, event)

    def _on_asked(self, what: str, signal_name: str) -> None:
        if what == "reopen":
            self._report(LogLine(INFO, f"received {signal_name} indicating log reopen request"))
            self._logs.reopen()
        elif what == "reload":
            self._warn(f"received {signal_name}: the configuration is not re-read by this version")
        elif self._shutdown is None:
            self._warn(f"received {signal_name} indicating exit request")
            reason = f"the agent was asked to stop by {signal_name}"
            self._shutdown = Shutdown(self._loop, self._roster, reason, self._inform, self._leave)

    def _leave(self) -> None:
        self._roster.leave()
        with contextlib.suppress(OSError):
            os.unlink(self._paths.endpoint)
        if self._config.daemon.pidfile:
            with contextlib.suppress(OSError):
                os.unlink(self._config.daemon.pidfile)
        # Let the last words of the children reach their logs before the keeper lets go of the ends.
        self._logs.stop(LOG_DRAIN_SECONDS)
        self._take_log_results()
        self._send(Leave(0))

    def _send(self, message: ToKeeper) -> None:
        self._link.send(message)

    # ------------------------------------------------------------------ telling

    def _take_log_results(self) -> None:
        for result in self._logs.results():
            if isinstance(result, Drained | RunClosed):
                self._children.on_drained(result)
            elif isinstance(result, LogTrouble):
                print(f"fleet-agent: log {result.path}: {result.message}", file=sys.stderr)  # noqa: T201
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
