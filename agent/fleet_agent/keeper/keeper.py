"""The keeper's loop: holds children, supervisor and gateway, and carries out what the supervisor asks.

Started by `fleet-agent run`. It sleeps until something happens: a signal (deaths among them), a frame,
the end of an adopted child, a deadline. No policy: what is to run is decided by the supervisor.
"""

import math
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import FrameType

from fleet_api.frames import Frame

from fleet_agent.keeper import offices, procfs
from fleet_agent.keeper.folders import Lock
from fleet_agent.keeper.holding import Holding
from fleet_agent.keeper.notes import say
from fleet_agent.keeper.notify import Beat, ServiceManager
from fleet_agent.keeper.run_records import Run
from fleet_agent.keeper.spawn import HANDLED_SIGNALS, Spare, start_office, take_low_numbers
from fleet_agent.keeper.supervisor_link import SupervisorLink
from fleet_agent.link import messages
from fleet_agent.link.channel import Received

_FRAMES_PER_TURN = 8
_RECORDS_PER_TURN = 8
KILL_SECONDS = 10.0
"""From SIGTERM to SIGKILL where the keeper stops the children itself."""
# The wait status of a program that its starter could not execute.
_NOT_STARTED = 127 << 8
_ASKED = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    signal.SIGQUIT: "stop",
    signal.SIGHUP: "reload",
    signal.SIGUSR1: "detach",
    signal.SIGUSR2: "reopen",
}


class Keeper:
    """One keeper: `run` returns the exit code of the agent.

    `supervisor_argv` is started with its end of the link as descriptor 3 and the lock as 4.
    """

    def __init__(
        self,
        runtime: str,
        supervisor_argv: Sequence[str],
        lock: Lock,
        environ: Mapping[bytes, bytes],
        manager: ServiceManager,
        kill_seconds: float = KILL_SECONDS,
    ) -> None:
        take_low_numbers()
        self._supervisor_argv = supervisor_argv
        self._lock = lock
        self._manager = manager
        self._kill_seconds = kill_seconds
        self._spare = Spare()
        self._holding = Holding(runtime, environ, self._spare)
        self._supervisor = offices.SupervisorLife()
        self._gateways = offices.Gateways(self._spare, environ)
        self._boot_id = procfs.boot_id()
        self._exit_code: int | None = None
        # Set by Leave: the code to end with as soon as supervisor and gateway are gone.
        self._leaving: int | None = None
        self._stop_asked = False
        self._failures_since_stop = 0
        self._is_stopping_alone = False
        self._signals: deque[int] = deque()
        self._deadlines: dict[str, float] = {}
        self._link: SupervisorLink | None = None
        self._epoll = select.epoll()
        self._adopted: dict[int, Run] = {}

    def run(self) -> int:
        """Hold until told to leave; the exit code."""
        woken = self._catch_signals()
        for run in self._holding.adopt():
            self._adopted[run.pidfd] = run
            self._epoll.register(run.pidfd, select.EPOLLIN)
        self._start_supervisor()
        while self._exit_code is None:
            self._turn(woken)
        self._holding.leave()
        return self._exit_code

    def _turn(self, woken: int) -> None:
        for fd, _ in self._epoll.poll(self._timeout()):
            if fd == woken:
                _drain(woken)
                # Only now: the kernel looks through every child that we have.
                self._reap()
            elif fd in self._adopted:
                self._adopted_ended(fd)
        while self._signals:
            self._asked(self._signals.popleft())
        self._handle_some()
        self._meet_deadlines()
        if self._link is not None:
            self._link.go_on()
            if self._link.failure:
                self._break_link(self._link.failure)
            elif self._link.is_ended:
                self._close_link()
                self._deadlines["linkless"] = time.monotonic() + offices.LEAVING_SECONDS
        if self._link is None or not self._link.has_waiting:
            self._holding.write_some(_RECORDS_PER_TURN)

    def _timeout(self) -> float | None:
        if self._holding.has_unwritten or (self._link is not None and self._link.has_waiting):
            return 0.0
        due = min([*self._deadlines.values(), *self._gateways.kills_due, self._manager.due])
        return max(0.0, due - time.monotonic()) if due < math.inf else None

    # ------------------------------------------------------------ signals

    def _catch_signals(self) -> int:
        woken, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in signal.valid_signals():
            # What our starter ignores, children would ignore; SIGPIPE and SIGXFSZ Popen restores.
            if signal.getsignal(number) == signal.SIG_IGN and number not in (signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
        for number in HANDLED_SIGNALS:
            signal.signal(number, self._on_signal)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self._epoll.register(woken, select.EPOLLIN)
        return woken

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._signals.append(number)

    def _asked(self, number: int) -> None:
        name = signal.Signals(number).name
        what = _ASKED[signal.Signals(number)]
        if what == "stop":
            self._stop_asked = True
            self._manager.tell(f"stopping everything in order, asked by {name}", "STOPPING=1")
            if "supervisor" in self._deadlines:
                self._deadlines["supervisor"] = time.monotonic()
        elif what == "detach":
            # The supervisor detaches when its logs are written; one that is stuck is not waited for.
            patience = offices.DETACH_SECONDS if self._supervisor.is_ready else 0.0
            self._deadlines["detach"] = time.monotonic() + patience
        self._tell(messages.Asked(what, name))

    # ------------------------------------------------------------ deaths

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._supervisor.pid:
                self._supervisor_ended(status)
            elif self._gateways.ended(pid):
                self._tell(messages.GatewayEnded(pid, status))
                self._finish_leaving()
            else:
                self._told_of_end(self._holding.ended(pid, status))

    def _adopted_ended(self, pidfd: int) -> None:
        run = self._adopted.pop(pidfd)
        self._epoll.unregister(pidfd)
        self._told_of_end(self._holding.vanished(run))

    def _told_of_end(self, end: tuple[Run, messages.Exited] | None) -> None:
        # An end that comes before the run was introduced is part of the introduction.
        if end is not None and end[0].is_told:
            self._tell(end[1])
        if self._is_stopping_alone and not self._holding.living:
            self._leave(0)

    # ------------------------------------------------------------ supervisor

    def _start_supervisor(self) -> None:
        for name in ("supervisor", "linkless"):
            self._deadlines.pop(name, None)
        self._supervisor.number += 1
        try:
            ours, pid = self._start_with_link()
        except OSError as error:
            say(f"cannot start the supervisor ({self._supervisor_argv[0]}): {error.strerror}")
            self._supervisor.started(0, time.monotonic())
            self._plan_supervisor()
            return
        self._lock.tell(pid)
        self._supervisor.started(pid, time.monotonic())
        asked = ["stop"] if self._stop_asked else []
        hello = messages.Hello(
            messages.PROTOCOL_VERSION, os.getpid(), self._boot_id, self._supervisor.number, asked
        )
        self._link = SupervisorLink(ours, self._epoll, hello, self._holding)

    def _start_with_link(self) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                return ours, start_office(
                    self._supervisor_argv, [theirs.fileno(), self._lock.fd], self._spare
                )
            except OSError:
                ours.close()
                raise

    def _supervisor_ended(self, status: int) -> None:
        pid, self._supervisor.pid = self._supervisor.pid, 0
        if self._link is not None:
            # What it asked before it ended counts.
            for received in self._link.last_messages():
                self._handle(received)
        self._close_link()
        if self._leaving is not None:
            self._finish_leaving()
            return
        if self._exit_code is not None:
            return
        words = f"the supervisor (pid {pid}) {offices.describe_status(status)}"
        say(words)
        self._manager.tell(f"{words}; the children run on")
        if (
            os.waitstatus_to_exitcode(status) == offices.BAD_CONFIGURATION
            and not self._supervisor.was_ever_ready
            and self._holding.is_empty
        ):
            self._exit_code = offices.BAD_CONFIGURATION
            return
        self._plan_supervisor()

    def _plan_supervisor(self) -> None:
        pause = self._supervisor.ended(time.monotonic())
        if self._stop_asked:
            pause = min(pause, offices.STOPPING_PAUSE_SECONDS)
            self._failures_since_stop += 1
            if self._failures_since_stop >= offices.FAILURES_BEFORE_STOPPING_ALONE:
                self._stop_alone()
                return
        self._deadlines["supervisor"] = time.monotonic() + pause

    def _stop_alone(self) -> None:
        living = self._holding.living
        say(f"no supervisor stays up to stop the children in order: all {len(living)} get SIGTERM")
        self._is_stopping_alone = True
        if not living:
            self._leave(0)
            return
        self._holding.signal_all(signal.SIGTERM)
        self._deadlines["kill"] = time.monotonic() + self._kill_seconds

    # ------------------------------------------------------------ link

    def _tell(self, message: messages.ToSupervisor, fds: Sequence[int] = ()) -> None:
        if self._link is not None:
            self._link.tell(message, fds)

    def _close_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
            self._manager.pause()
            self._gateways.link_ended(time.monotonic())

    def _break_link(self, reason: str) -> None:
        self._close_link()
        if self._supervisor.pid:
            say(f"the supervisor (pid {self._supervisor.pid}) is killed: {reason}")
            os.kill(self._supervisor.pid, signal.SIGKILL)

    def _handle_some(self) -> None:
        # Deaths are told between any few requests, however many come at once.
        for _ in range(_FRAMES_PER_TURN):
            received = self._link.next_message() if self._link is not None else None
            if received is None:
                return
            self._handle(received)

    def _handle(self, received: Received) -> None:
        try:
            message = messages.from_frame(received.frame)
            if isinstance(message, messages.StartGateway):
                self._start_gateway(message, received.fds)
            else:
                self._carry_out(message, received.frame)
        except (TypeError, ValueError, AttributeError) as error:
            self._break_link(f"it asks what cannot be: {error} in {str(received.frame)[:200]}")
        finally:
            received.close()

    def _carry_out(self, message: messages.Message | None, frame: Frame) -> None:
        if isinstance(message, messages.Spawn):
            self._spawn(message)
        elif isinstance(message, messages.SendSignal):
            failure = self._holding.send_signal(message)
            if failure is not None:
                self._tell(failure)
        elif isinstance(message, messages.Release):
            self._holding.release(message.process, message.run)
        elif isinstance(message, messages.Ready):
            self._supervisor.ready()
            words = f"supervising (supervisor pid {self._supervisor.pid})"
            self._manager.ready(time.monotonic(), words)
        elif isinstance(message, messages.Pong):
            self._manager.answered(time.monotonic())
        elif isinstance(message, messages.Leave):
            self._leave(int(message.code))
        elif isinstance(message, messages.Detach):
            self._leave(0)
        else:
            say(f"the supervisor asks what this version does not know: {str(frame.get('m'))[:40]}")

    def _spawn(self, request: messages.Spawn) -> None:
        outcome = self._holding.start(request)
        if isinstance(outcome, messages.SpawnFailed):
            self._tell(outcome)
        elif outcome is not None:
            spawned, run = outcome
            run.is_told = True
            self._tell(spawned, run.ends)

    def _start_gateway(self, request: messages.StartGateway, fds: Sequence[int]) -> None:
        if not self._supervisor.pid:
            return
        try:
            pid = self._gateways.start(request.argv, fds)
        except (OSError, IndexError) as error:
            say(f"cannot start the gateway: {error}")
            self._tell(messages.GatewayEnded(0, _NOT_STARTED))
            return
        self._tell(messages.GatewayStarted(pid))

    # ------------------------------------------------------------ the end

    def _leave(self, code: int) -> None:
        self._leaving = code
        self._deadlines.clear()
        living = self._holding.living
        self._manager.tell(f"leaving, {len(living)} children run on", "STOPPING=1")
        if living:
            names = ", ".join(f"{run.process} (pid {run.pid})" for run in living[:10])
            say(f"leaves {len(living)} children running: {names}{', ...' if len(living) > 10 else ''}")
        self._close_link()
        self._deadlines["leaving"] = time.monotonic() + offices.LEAVING_SECONDS
        self._finish_leaving()

    def _finish_leaving(self) -> None:
        if self._leaving is not None and not self._supervisor.pid and self._gateways.is_gone:
            self._exit_code = self._leaving

    def _meet_deadlines(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._deadlines.items() if due <= now]:
            del self._deadlines[name]
            if name == "supervisor":
                self._start_supervisor()
            elif name == "kill":
                self._holding.signal_all(signal.SIGKILL)
            elif name == "detach":
                say("the supervisor does not detach in time; leaves without it")
                self._leave(0)
            elif self._supervisor.pid:
                os.kill(self._supervisor.pid, signal.SIGKILL)
        self._gateways.end_late(now)
        beat = self._manager.beat(now)
        if beat is Beat.ASK:
            self._tell(messages.Ping())
        elif beat is Beat.LATE:
            self._break_link(f"it has not answered for {self._manager.ping_seconds:g} s")


def _drain(fd: int) -> None:
    try:
        while os.read(fd, 4096):
            continue
    except BlockingIOError:
        return
