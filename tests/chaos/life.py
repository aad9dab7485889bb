"""One episode of chaos with a real agent: carries out the plan of `plan`, gathers facts, asks `oracle`."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chaos import oracle, records
from chaos.oracle import Deeds, Gap
from chaos.plan import STOP_WAIT_SECONDS, Blow, Command, Episode, Program, Round
from chaos.records import Record
from fleet_api.door import AWAY, TIMED_OUT
from fleet_api.errors import FleetError
from real.agent import AGENT, RealAgent, alive, program
from real.logs import whole_log
from real.offices import children, is_office

PATIENCE_SECONDS = 20.0
_ASK_SECONDS = 0.02


class Chaos(AssertionError):
    """What was wrong, with the facts of it."""


class Life:
    """One agent under one plan; a context manager that leaves no process behind."""

    def __init__(
        self, plan: Episode, folder: Path, other: Path | None = None, command: Sequence[str] = AGENT
    ) -> None:
        """`other` is the virtual environment of another version."""
        self._plan = plan
        self._pythons = {"same": sys.executable, "other": str(other / "bin" / "python") if other else ""}
        self._folder = folder
        self._records = folder / "records"
        self._records.mkdir(parents=True)
        self.agent = RealAgent(folder / "agent", self._config(), command=command)
        self._gaps: list[Gap] = []
        self._killed: dict[int, float] = {}
        self._stops: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._is_stopped: dict[str, bool] = {}
        self._is_kept_up = {wanted.name for wanted in plan.programs}
        self._events: list[dict[str, Any]] = []
        self._position: dict[str, Any] = {}
        self._last_seen: dict[tuple[str, int], float] = {}
        self._gone_by: dict[tuple[str, int], float] = {}
        self._keys = 0
        self.told: list[str] = []
        """What was done, in order: the facts of a failure."""

    def __enter__(self) -> Self:
        self.agent.start()
        self._position = {**self.agent.hello()["position"], "sequence": 0}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self.agent.child_pids():
            _send(pid, signal.SIGCONT)
        self.agent.end()
        for record in records.read(self._records):
            if record.is_alive:
                _send(record.pid, signal.SIGKILL)

    def play(self, number: int) -> None:
        """Play a round and check.

        Raises: Chaos.
        """
        self.told.append(f"round {number}")
        a_round = self._plan.rounds[number]
        failures: list[BaseException] = []
        lane = threading.Thread(target=self.guarded, args=(failures, lambda: self._command_all(a_round)))
        lane.start()
        self.guarded(failures, lambda: self._strike_all(a_round))
        lane.join()
        if failures:
            raise failures[0]
        self.check(wants_up=number % 5 == 4)

    def finish(self) -> None:
        """Stop everything, check the whole, and let the agent leave.

        Raises: Chaos.
        """
        self.told.append("the end")
        for a_program in self._plan.programs:
            self.command(Command(0.0, "stop", a_program.name, True))
        self.check(is_final=True)
        keeper = self.agent.keeper
        assert keeper is not None
        keeper.terminate()
        if (code := keeper.wait(PATIENCE_SECONDS)) != 0:
            raise Chaos(f"the agent left with {code}")
        self.agent.keeper = None

    # ------------------------------------------------------------ the plan

    def _config(self) -> str:
        gateway = "[fleet]\nhost_id=chaos\nlisten=127.0.0.1:0\ninsecure_plaintext=true\n"
        return (gateway if self._plan.has_gateway else "") + "".join(
            self._section(a_program) for a_program in self._plan.programs
        )

    def _section(self, wanted: Program) -> str:
        command = program("chaotic", wanted.name, self._records, wanted.kind, self._plan.seed)
        return (
            f"[program:{wanted.name}]\ncommand={command}\nautorestart={wanted.autorestart}\n"
            f"startsecs={wanted.startsecs}\nstopwaitsecs={STOP_WAIT_SECONDS}\n"
            f"redirect_stderr={str(wanted.is_redirected).lower()}\n"
            f"stdout_logfile={self._log(wanted, 1)}\nstdout_logfile_maxbytes={wanted.maxbytes}\n"
            f"stdout_logfile_backups=2000\n"
            + (
                ""
                if wanted.is_redirected
                else f"stderr_logfile={self._log(wanted, 2)}\nstderr_logfile_maxbytes={wanted.maxbytes}\n"
                f"stderr_logfile_backups=2000\n"
            )
        )

    def _log(self, wanted: Program, stream: int) -> Path:
        return self._folder / f"{wanted.name}.{'out' if stream == 1 or wanted.is_redirected else 'err'}"

    # ------------------------------------------------------------ commands

    def _command_all(self, a_round: Round) -> None:
        for command in a_round.commands:
            time.sleep(command.pause)
            self.command(command)

    def command(self, command: Command) -> None:
        """Ask, as often as it takes to be answered; the answer counts from then on.

        Raises: Chaos.
        """
        begun = time.monotonic()
        self._note(f"{command.verb} {command.program} {command.detail}{' wait' if command.wait else ''}")
        self._keys += 1
        key = f"k{self._keys}"
        if command.verb == "tail":
            self._patiently(lambda: self._tail(command.program))
            return
        if command.verb == "upgrade":
            self._upgrade(self._pythons[command.detail], key, command.wait)
            return
        if command.verb in ("stop", "restart"):
            self._stops[command.program].append((begun, float("inf")))
        answer = self._patiently(
            lambda: self.agent.operate(
                command.verb, command.program, wait=command.wait, key=key, sig=command.detail
            )
        )
        outcome = answer["outcomes"][0]
        self._note(f"{command.verb} {command.program}: {outcome['result']} ({outcome['reason']})")
        if command.verb in ("stop", "restart"):
            # A stop that nobody waited for goes on for a while.
            late = 0.0 if command.wait else 10.0
            self._stops[command.program][-1] = (begun, time.monotonic() + late)
        if command.verb == "signal" or outcome["result"] == "refused":
            return
        if command.verb in ("enable", "disable"):
            # Neither stops or starts what is there; what becomes of it later is not for us to say.
            self._is_stopped.pop(command.program, None)
            self._is_kept_up.discard(command.program)
            return
        is_stop = command.verb == "stop"
        if is_stop and outcome["result"] not in ("ok", "unchanged"):
            raise Chaos(f"{command.program} could not be stopped: {outcome}")
        self._is_stopped[command.program] = is_stop
        (self._is_kept_up.discard if is_stop else self._is_kept_up.add)(command.program)
        if is_stop and command.wait:
            self._see_nothing_left_of(command.program)

    def _see_nothing_left_of(self, name: str) -> None:
        """No descendant either, of the last run."""
        found = [record for record in records.read(self._records) if record.process.rstrip("+") == name]
        last = max((record.first for record in found if not record.is_helper), default=0.0)
        for record in found:
            if record.is_alive and record.first >= last:
                raise Chaos(f"stopped, it is said, and yet: {record}")

    def _upgrade(self, python: str, key: str, wait: bool) -> None:
        def ask() -> dict[str, Any]:
            try:
                return self.agent.ask("upgrade", python=python, context={"key": key, "operation_id": key})
            except FleetError as error:
                if error.code in AWAY | {TIMED_OUT}:
                    raise
                # What was begun may be cut short and told so.
                return {"result": error.code}

        answer = self._patiently(ask)
        self._note(f"upgrade: {answer['result']}")
        if not wait:
            return
        deadline = time.monotonic() + PATIENCE_SECONDS
        while answer["result"] == "switching":
            if time.monotonic() > deadline:
                raise Chaos(f"the upgrade does not end: {answer}")
            time.sleep(_ASK_SECONDS)
            answer = self._patiently(lambda: self.agent.ask("upgrade_result"))
        self._note(f"upgrade: {answer['result']} {answer.get('reason', '')}")

    def _tail(self, name: str) -> None:
        wanted = next(a_program for a_program in self._plan.programs if a_program.name == name)
        if not self._log(wanted, 1).exists():
            return
        with self.agent.door() as door:
            answer, fds = door.request_with_fds("open_log", process=name, stream="stdout", timeout_seconds=10)
        try:
            told = b"".join(_read_all(fd) for fd in fds)
        finally:
            for fd in fds:
                os.close(fd)
        start = answer["segments"][0]["start"]
        whole = whole_log(self._log(wanted, 1))
        if whole[start : start + len(told)] != told:
            raise Chaos(f"the log of {name} from byte {start} on is told as something else than it is")

    def _patiently(self, ask: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return ask()
            except FleetError as error:
                if error.code not in AWAY | {TIMED_OUT} or time.monotonic() > deadline:
                    raise Chaos(f"asked in vain: {error.code} {error.message}") from error
            time.sleep(_ASK_SECONDS)

    # ------------------------------------------------------------ blows

    def _strike_all(self, a_round: Round) -> None:
        for blow in a_round.blows:
            time.sleep(blow.pause)
            self.strike(blow)

    def strike(self, blow: Blow) -> None:
        """Carry out a blow, and start the agent again where that ended it."""
        self._note(f"{blow.what} {' '.join(blow.targets)}")
        if blow.what == "child":
            for record in records.read(self._records):
                if record.process == blow.targets[0] and record.is_alive:
                    self._killed[record.pid] = time.monotonic()
                    _send(record.pid, signal.SIGKILL)
            return
        pids = [pid for target in blow.targets for pid in self.office(target)]
        if blow.what == "freeze":
            for pid in pids:
                _send(pid, signal.SIGSTOP)
            time.sleep(blow.seconds)
            for pid in pids:
                _send(pid, signal.SIGCONT)
            return
        begin = time.monotonic()
        for pid in pids:
            _send(pid, signal.SIGUSR1 if blow.what == "detach" else signal.SIGKILL)
        if "keeper" in blow.targets:
            self.start_again(begin, blow.seconds)

    def start_again(self, begin: float, pause: float = 0.0) -> None:
        """Wait until the keeper has ended, as it did from `begin` on, and start another after a pause."""
        assert self.agent.keeper is not None
        self.agent.keeper.wait(PATIENCE_SECONDS)
        time.sleep(pause)
        self.agent.launch()
        self.wait_up(begin)

    def wait_up(self, begin: float) -> None:
        """Wait until the agent answers that has been started after a time without one."""
        self.agent.wait_up()
        self._gaps.append(Gap(begin, time.monotonic()))
        self._note("the agent is up again")

    def office(self, name: str) -> list[int]:
        """The pids of keeper, supervisor or gateway; more than one gateway while one replaces another."""
        assert self.agent.keeper is not None
        keeper = self.agent.keeper.pid
        return [keeper] if name == "keeper" else [pid for pid in children(keeper) if is_office(pid, name)]

    # ------------------------------------------------------------ checks

    def check(self, is_final: bool = False, wants_up: bool = False) -> None:
        """See that all is as it must be, once it has settled. `wants_up`: what is kept up is up again.

        Raises: Chaos.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            found = self._look()
            deeds = Deeds(self._gaps, self._killed, self._stops)
            # What is wrong once stays wrong; the rest settles.
            problems = oracle.copies(found) + oracle.harm(found, deeds)
            if problems:
                raise Chaos("\n".join(problems))
            problems = self._unsettled(found, deeds, is_final, wants_up)
            if not problems:
                return
            if time.monotonic() > deadline:
                raise Chaos("\n".join(problems))
            time.sleep(_ASK_SECONDS)

    def _unsettled(self, found: list[Record], deeds: Deeds, is_final: bool, wants_up: bool) -> list[str]:
        for wanted in self._plan.programs:
            for stream in (1, 2):
                log = whole_log(self._log(wanted, stream)).decode(errors="backslashreplace")
                problems = oracle.lines(wanted.name, log, stream, found, deeds, is_final)
                if problems:
                    return problems
        rows = list(self._patiently(lambda: self.agent.ask("status", terms=[]))["processes"])
        self._patiently(self._hear)
        stopped = [name for name, is_stopped in self._is_stopped.items() if is_stopped]
        kept_up = [
            wanted.name
            for wanted in self._plan.programs
            if wants_up
            and wanted.kind not in ("short", "flash")
            and wanted.autorestart == "true"
            and wanted.name in self._is_kept_up
        ]
        return (
            oracle.agreement(rows, records.read(self._records))
            + oracle.wishes(rows, stopped, kept_up)
            + oracle.exits(found, self._events, deeds, is_final)
        )

    def _look(self) -> list[Record]:
        now = time.monotonic()
        found = []
        for record in records.read(self._records):
            key = (record.process, record.number)
            if record.is_alive:
                self._last_seen[key] = now
                found.append(record._replace(gone_by=float("inf")))
            else:
                gone_by = self._gone_by.setdefault(key, time.monotonic())
                last = max(record.last, self._last_seen.get(key, 0.0))
                found.append(record._replace(gone_by=gone_by, last=last))
        return found

    def _hear(self) -> None:
        """Take the events that have come since the last time."""
        end = self.agent.hello()["position"]["sequence"]
        if self._position["sequence"] >= end:
            return
        with self.agent.door() as door:
            for item, _ in door.stream("watch", after=self._position, timeout_seconds=10):
                if "gap" in item:
                    raise Chaos(f"events are lost: {item}")
                event = item["event"]
                if event["sequence"] != self._position["sequence"] + 1:
                    raise Chaos(f"{event['sequence']} comes after {self._position['sequence']}")
                self._position = {**self._position, "sequence": event["sequence"]}
                self._events.append(event)
                if event["sequence"] >= end:
                    return

    def guarded(self, failures: list[BaseException], act: Callable[[], None]) -> None:
        """Act, and keep what it raised."""
        try:
            act()
        except BaseException as error:
            failures.append(error)

    def _note(self, text: str) -> None:
        self.told.append(f"{time.monotonic():.3f} {text}")

    def facts(self) -> str:
        """What was done last, and all that is known of the runs."""
        runs = "\n".join(map(str, records.read(self._records)))
        return "\n".join(self.told[-60:]) + f"\n{runs}\n{self.agent.said()[-3000:]}"


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if alive(pid):
            os.kill(pid, number)


def _read_all(fd: int) -> bytes:
    data = b""
    while piece := os.pread(fd, 1 << 20, len(data)):
        data += piece
    return data
