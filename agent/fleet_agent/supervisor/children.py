"""What the keeper holds, told to processes and logs: spawns, ends, and what a new supervisor finds."""

import errno
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from fleet_agent.core import events
from fleet_agent.core.log_lines import WARN, LogLine, adopted_line, spawned_line
from fleet_agent.core.machine import OUTSTANDING_STATES
from fleet_agent.core.model import LogSpec, Now, Process, ProcessSpec, State
from fleet_agent.link.messages import Child, Exited, Release, SendSignal, Spawned, SpawnFailed, ToKeeper
from fleet_agent.supervisor import spawning
from fleet_agent.supervisor.logs.worker import Drained, LogWorker, RunClosed
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.roster import Member, Roster
from fleet_agent.supervisor.trees.trees import Trees
from fleet_agent.supervisor.troubles import Report
from fleet_agent.supervisor.wait_status import exit_of

STRAY_SECONDS = 10.0
"""From SIGTERM to SIGKILL for a run of nothing configured."""

_SIGTERM = 15
_SIGKILL = 9
_STAGES_IN_CHILD = frozenset({"setuid", "chdir", "exec"})
_STAGES_OF_HOST = frozenset({"limit", "fork", "fifo"})


class Found(NamedTuple):
    """A run that the keeper holds when the supervisor begins, with its open ends by stream."""

    child: Child
    fds: dict[str, int]


class Children:
    """Ties runs to their processes and logs; owns which ended runs may be released."""

    def __init__(
        self,
        loop: Loop,
        roster: Roster,
        logs: LogWorker,
        trees: Trees,
        send: Callable[[ToKeeper], None],
        report: Callable[[LogLine], None],
        strip_ansi: bool,
        report_shortage: Report,
    ) -> None:
        self._loop = loop
        self._roster = roster
        self._logs = logs
        self._trees = trees
        self._send = send
        self._report = report
        self._strip = strip_ansi
        self._report_shortage = report_shortage
        self._is_short = False
        self._ended: set[tuple[str, int]] = set()
        self._strays: set[tuple[str, int]] = set()

    def on_spawned(self, message: Spawned, fds: list[int]) -> None:
        """A run lives: read its streams, tell its process."""
        if self._is_short:
            self._is_short = False
            self._report_shortage("")
        self._read(message.process, message.run, named(message.streams, fds))
        self._trees.spawned((message.process, message.run), message.pid, message.monotonic)
        if message.process in self._roster:
            self._report(spawned_line(self._roster[message.process].spec, message.pid))
            born = Now(message.monotonic, message.wall)
            self._roster.apply(message.process, events.Spawned(message.run, message.pid, born))

    def on_spawn_failed(self, message: SpawnFailed) -> None:
        """A run could not be started."""
        if message.process in self._roster:
            spec = self._roster[message.process].spec
            if message.stage in _STAGES_IN_CHILD:
                self.tell_in_log(spec, message.message)
            is_shortage = message.stage in _STAGES_OF_HOST and message.errno != errno.EINVAL
            failed = events.SpawnFailed(message.run, message.message, is_shortage)
            self._roster.apply(message.process, failed)
            if is_shortage:
                self._is_short = True
                self._report_shortage(
                    f"fails: {message.message}; what cannot be started is tried again, every 30 s at least"
                )

    def on_cannot_spawn(self, spec: ProcessSpec, run: int, error: Exception) -> None:
        """The keeper cannot even be asked for a run."""
        words = str(error)
        if isinstance(error, spawning.CannotBecome):
            self.tell_in_log(spec, words)
        elif not isinstance(error, spawning.CannotSpawn):
            words = f"cannot spawn '{spec.name}': {words}"
        if spec.id in self._roster:
            self._roster.apply(spec.id, events.SpawnFailed(run, words))

    def tell_in_log(self, spec: ProcessSpec, error: str) -> None:
        """Write into a process's own log why its program was not reached."""
        stream, log = ("stdout", spec.stdout) if spec.redirect_stderr else ("stderr", spec.stderr)
        words = f"supervisor: {error}\nsupervisor: child process was not spawned\n"
        self._logs.write(spec.id, stream, words.encode("utf-8", "backslashreplace"), log)

    def on_exited(self, message: Exited) -> None:
        """A run ended: act on it first, then empty its streams."""
        self._ended.add((message.process, message.run))
        self._strays.discard((message.process, message.run))
        if message.process in self._roster:
            at = Now(message.monotonic, message.wall)
            self._roster.apply(message.process, self._exited(message), at)
        else:
            self._trees.ended((message.process, message.run), is_stop=False)
        self._logs.ended(message.process, message.run)

    def _exited(self, message: Exited) -> events.Exited:
        """The end of a run, with what only the kernel knows of it."""
        spec, process = self._roster[message.process]
        key = (message.process, message.run)
        is_stop = (
            spec.stoptree
            and process.run == message.run
            and not process.is_ending_tree
            and (process.state is State.STOPPING or (process.state is State.UNKNOWN and not process.wanted))
        )
        end = exit_of(message.status)
        if end.signal == _SIGKILL and not process.is_killed:
            end = end._replace(cause=self._trees.cause_of_kill(key))
        return events.Exited(message.run, end, has_left=self._trees.ended(key, is_stop))

    def on_drained(self, result: Drained | RunClosed) -> None:
        """Nothing is left in the streams of a run; when it has ended, the keeper may forget it."""
        run = (result.process, result.run)
        if run in self._ended and (isinstance(result, RunClosed) or result.closed):
            self._ended.discard(run)
            self._send(Release(*run))

    def take_over(self, found: list[Found], now: Now, goes_on: bool) -> None:
        """Go on with what the keeper holds: adopt what lives, book what ended, repeat what was cut short.

        `goes_on`: the journal tells what went before. Where it does not, a run that has ended says
        nothing about what is wanted now.
        """
        current: dict[str, Found] = {}
        for item in sorted(found, key=lambda item: item.child.run):
            child = item.child
            self._read(child.process, child.run, item.fds)
            if child.status is None:
                key = (child.process, child.run)
                self._trees.spawned(key, child.pid, child.started_monotonic, is_new=False)
            if child.process in self._roster and child.run >= self._roster[child.process].process.run:
                earlier = current.get(child.process)
                current[child.process] = item
                if earlier is not None:
                    self._take_over_stray(earlier.child)
            else:
                self._take_over_stray(child)
        for member in tuple(self._roster.members()):
            self._take_over_process(member, current.get(member.spec.id), now, goes_on)

    def _take_over_process(self, member: Member, found: Found | None, now: Now, goes_on: bool) -> None:
        id_ = member.spec.id
        if found is None:
            self._roster.resume(id_, signalled=None, now=now)
            return
        child = found.child
        is_lost = child.status is None and member.process.state not in OUTSTANDING_STATES
        is_news = child.run > member.process.run or is_lost
        if is_news and child.status is not None and not goes_on:
            # Only its number counts: it may not be used again.
            self._roster.adopt(id_, member.process._replace(run=child.run))
        elif is_news:
            # The journal is lost or behind; the child is the truth.
            self._roster.adopt(id_, _starting(child))
        elif child.signals > member.process.signals:
            # Else the keeper would take the next signal for one that it has sent.
            self._roster.adopt(id_, member.process._replace(signals=child.signals))
        process = self._roster.resume(id_, child.signals, now)
        if not process.pid and process.state in OUTSTANDING_STATES and not process.is_ending_tree:
            self._report((adopted_line if is_news else spawned_line)(member.spec, child.pid))
            born = Now(child.started_monotonic, child.started_wall)
            self._roster.apply(id_, events.Spawned(child.run, child.pid, born))
        if child.status is not None:
            died = max(child.started_monotonic, now.monotonic - max(0.0, now.wall - child.ended_wall))
            self.on_exited(Exited(child.process, child.run, child.pid, child.status, died, child.ended_wall))

    def _take_over_stray(self, child: Child) -> None:
        """A run of a process that is not configured any more, or that has been followed by another."""
        if child.status is None:
            text = f"{child.process}: pid {child.pid} (run {child.run}) is wanted by nobody; stopping it"
            self._report(LogLine(WARN, text))
            self._strays.add((child.process, child.run))
            self._signal_stray(child, _SIGTERM, 1)
            self._loop.after(STRAY_SECONDS, lambda: self._kill_stray(child))
        else:
            self._ended.add((child.process, child.run))
            self._logs.ended(child.process, child.run)

    def _kill_stray(self, child: Child) -> None:
        if (child.process, child.run) in self._strays:
            self._report(LogLine(WARN, f"killing '{child.process}' ({child.pid}) with SIGKILL"))
            self._signal_stray(child, _SIGKILL, 2)

    def _signal_stray(self, child: Child, signal: int, count: int) -> None:
        self._send(SendSignal(child.process, child.run, signal, child.signals + count, to_group=True))

    def _read(self, id_: str, run: int, fds: dict[str, int]) -> None:
        stdin = fds.pop("stdin", None)
        if stdin is not None:
            os.close(stdin)  # the keeper holds it for as long as the child lives
        spec = self._roster[id_].spec if id_ in self._roster else None
        logs = {
            "stdout": spec.stdout if spec else LogSpec(),
            "stderr": spec.stderr if spec else LogSpec(),
        }
        self._logs.open_run(id_, run, fds, logs, self._strip)


def named(streams: list[str], fds: list[int]) -> dict[str, int]:
    """The descriptors by stream; each name is one string for all runs, however often it was read."""
    return dict(zip(map(sys.intern, streams), fds, strict=False))


def _starting(child: Child) -> Process:
    return Process(
        state=State.STARTING,
        wanted=True,
        run=child.run,
        started=Now(child.started_monotonic, child.started_wall),
        changed_wall=child.started_wall,
        reason="found running",
        signals=child.signals,
    )
