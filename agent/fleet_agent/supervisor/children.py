"""What the keeper holds, told to processes and logs: spawns, ends, and what a new supervisor finds."""

import os
from collections.abc import Callable
from typing import NamedTuple

from fleet_agent.core import events
from fleet_agent.core.log_lines import LogLine, spawned_line
from fleet_agent.core.machine import OUTSTANDING_STATES
from fleet_agent.core.model import Exit, LogSpec, Now, Process, ProcessSpec, State
from fleet_agent.link.messages import Child, Exited, Release, SendSignal, Spawned, SpawnFailed, ToKeeper
from fleet_agent.supervisor.logs.worker import Drained, LogWorker, RunClosed
from fleet_agent.supervisor.roster import Roster

SIGTERM = 15
TOLD_BY_MESSAGE = {
    "fork": "unknown error during fork",
    "limit": "too many open files to spawn",
    "fifo": "unknown error making dispatchers for",
}


class Found(NamedTuple):
    """A run that the keeper holds when the supervisor begins, with its open ends by stream."""

    child: Child
    fds: dict[str, int]


class Children:
    """Ties runs to their processes and logs; owns which ended runs may be released."""

    def __init__(
        self,
        roster: Roster,
        logs: LogWorker,
        send: Callable[[ToKeeper], None],
        report: Callable[[LogLine], None],
        strip_ansi: bool,
    ) -> None:
        self._roster = roster
        self._logs = logs
        self._send = send
        self._report = report
        self._strip = strip_ansi
        self._ended: set[tuple[str, int]] = set()

    def on_spawned(self, message: Spawned, fds: list[int]) -> None:
        """A run lives: read its streams, tell its process."""
        self._read(message.process, message.run, dict(zip(message.streams, fds, strict=False)))
        if message.process in self._roster:
            self._report(spawned_line(self._roster[message.process].spec, message.pid))
            at = Now(message.monotonic, message.wall)
            self._roster.apply(message.process, events.Spawned(message.run, message.pid, at))

    def on_spawn_failed(self, message: SpawnFailed) -> None:
        """A run could not be started."""
        if message.process in self._roster:
            spec = self._roster[message.process].spec
            error = spawn_error(spec, message)
            self._logs.write(message.process, "stderr", f"supervisor: {error}\n".encode())
            self._roster.apply(message.process, events.SpawnFailed(message.run, error))

    def on_exited(self, message: Exited) -> None:
        """A run ended: act on it first, then empty its streams."""
        self._ended.add((message.process, message.run))
        if message.process in self._roster:
            at = Now(message.monotonic, message.wall)
            self._roster.apply(message.process, events.Exited(message.run, exit_of(message.status)), at)
        self._logs.ended(message.process, message.run)

    def on_drained(self, result: Drained | RunClosed) -> None:
        """Nothing is left in the streams of a run; when it has ended, the keeper may forget it."""
        run = (result.process, result.run)
        if run in self._ended and (isinstance(result, RunClosed) or result.closed):
            self._ended.discard(run)
            self._send(Release(*run))

    def take_over(self, found: list[Found], now: Now) -> None:
        """Go on with what the keeper holds: adopt what lives, book what ended, repeat what was cut short."""
        current: dict[str, Found] = {}
        for item in sorted(found, key=lambda item: item.child.run):
            child = item.child
            self._read(child.process, child.run, item.fds)
            if child.process in self._roster and child.run >= self._roster[child.process].process.run:
                current[child.process] = item
            else:
                self._take_over_stray(child)
        for member in tuple(self._roster.members()):
            self._take_over_process(member.spec, current.get(member.spec.id), now)

    def _take_over_process(self, spec: ProcessSpec, found: Found | None, now: Now) -> None:
        process = self._roster[spec.id].process
        if found is not None and found.child.run > process.run:
            # The journal is lost or behind; the child is the truth.
            self._roster.adopt(spec.id, _starting(found.child))
            process = self._roster[spec.id].process
        self._roster.resume(spec.id, found is not None, now)
        if found is None:
            return
        child = found.child
        if not process.pid and process.state in OUTSTANDING_STATES:
            at = Now(child.started_monotonic, child.started_wall)
            self._roster.apply(spec.id, events.Spawned(child.run, child.pid, at))
        if child.status is not None:
            ended = Now(now.monotonic - max(0.0, now.wall - child.ended_wall), child.ended_wall)
            self.on_exited(
                Exited(child.process, child.run, child.pid, child.status, ended.monotonic, ended.wall)
            )

    def _take_over_stray(self, child: Child) -> None:
        """A run of a process that is not configured any more, or that has been followed by another."""
        if child.status is None:
            text = f"{child.process}: pid {child.pid} (run {child.run}) is of nothing configured; stopping it"
            self._report(LogLine(30, text))
            self._send(SendSignal(child.process, child.run, SIGTERM, child.signals + 1, to_group=True))
        else:
            self._ended.add((child.process, child.run))
            self._logs.ended(child.process, child.run)

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


def exit_of(status: int) -> Exit:
    """How a run ended, from the kernel's wait status; -1 when nobody could know."""
    if status < 0:
        return Exit()
    if os.WIFSIGNALED(status):
        return Exit(signal=os.WTERMSIG(status), core_dumped=os.WCOREDUMP(status))
    return Exit(code=os.WEXITSTATUS(status))


def spawn_error(spec: ProcessSpec, message: SpawnFailed) -> str:
    """Why a run could not be started, in the words of supervisord where it has any."""
    words = TOLD_BY_MESSAGE.get(message.stage)
    return f"{words} '{spec.name}': {message.message}" if words else message.message


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
