"""The keeper's loop: holds children, supervisor and gateway, and carries out what the supervisor asks.

Started by `fleet-agent run`. It sleeps until something happens: a signal (deaths among them), a frame,
the end of an adopted child, a deadline. No policy: what is to run is decided by the supervisor.
"""

import math
import os
import select
import signal
import time
from collections.abc import Iterable, Mapping, Sequence

from fleet_api.frames import Frame

from fleet_agent.keeper import offices
from fleet_agent.keeper.folders import Locks
from fleet_agent.keeper.handover import Action, Version
from fleet_agent.keeper.holding import Holding
from fleet_agent.keeper.notes import failures, say
from fleet_agent.keeper.notify import Beat, ServiceManager
from fleet_agent.keeper.reaper import Reaper
from fleet_agent.keeper.replacing import Replacing
from fleet_agent.keeper.run_records import Run
from fleet_agent.keeper.signals import ASKED, Signals
from fleet_agent.keeper.spawn import Spare, take_low_numbers
from fleet_agent.keeper.succession import Succession
from fleet_agent.keeper.supervisors import Supervisors
from fleet_agent.link import messages
from fleet_agent.link.channel import Received

_FRAMES_PER_TURN = 8
_RECORDS_PER_TURN = 8
_DEATHS_TOLD = 3
_NO_MEMORY_SECONDS = 0.1
KILL_SECONDS = 10.0
"""From SIGTERM to SIGKILL where the keeper stops the children itself."""
# The wait status of a program that its starter could not execute.
_NOT_STARTED = 127 << 8


class Keeper:
    """One keeper: `begin`, or `take_over` and `go_on` where another version left its place, then `hold`.

    A supervisor is started with its end of the link as descriptor 3 and the runtime lock as 4.
    """

    def __init__(
        self,
        runtime: str,
        version: Version,
        locks: Locks,
        environ: Mapping[bytes, bytes],
        manager: ServiceManager,
        kill_seconds: float = KILL_SECONDS,
    ) -> None:
        take_low_numbers()
        self._manager = manager
        self._kill_seconds = kill_seconds
        self._epoll = select.epoll()
        self._spare = Spare()
        self._holding = Holding(runtime, environ, self._spare)
        self._supervisors = Supervisors(version, locks, self._spare, self._epoll, self._holding)
        self._gateways = offices.Gateways(self._spare, environ)
        self._exit_code: int | None = None
        # Set by Leave: the code to end with as soon as supervisor and gateway are gone.
        self._leaving: int | None = None
        self._failures_since_stop = 0
        self._is_stopping_alone = False
        self._deadlines: dict[str, float] = {}
        self._adopted: dict[int, Run] = {}
        self._signals: Signals
        self._reaper = Reaper()
        self._replacing = Replacing(self._holding, self._supervisors, self._gateways, locks, manager)

    def begin(self) -> None:
        """Adopt what an earlier keeper has left running, and start a supervisor."""
        self._catch_signals()
        self._watch_adopted(self._holding.adopt())
        self._start_supervisor()

    def take_over(self, left: Succession) -> None:
        """Learn what the keeper that was in this process before knew; nothing in the world changes yet."""
        self._replacing.take_over(left)

    def go_on(self, left: Succession) -> None:
        """Go on after `take_over`, with the supervisor that waits or with a new one."""
        self._catch_signals()
        self._watch_adopted([run for run in left.runs if run.pidfd >= 0])
        if left.supervisor.pid:
            self._supervisors.meet(left.supervisor)
        else:
            self._start_supervisor()
        self._holding.tidy()
        # The signals that told of deaths meanwhile went to nobody.
        self._reap()

    def hold(self) -> int:
        """Hold until told to leave; the exit code."""
        while self._exit_code is None:
            try:
                self._turn()
            except MemoryError:
                # Whatever it was, it is not worth the children.
                failures.fails("a turn of the keeper", "no memory")
                if self._supervisors.link is not None:
                    # What this supervisor may have missed, the next one is told.
                    self._supervisors.link.failure = "there was no memory to tell it all"
                time.sleep(_NO_MEMORY_SECONDS)
        # Whatever has ended in the last moment, nobody else could ask for.
        self._reaper.due = 0.0
        self._reap()
        self._holding.leave()
        return self._exit_code

    def _watch_adopted(self, runs: Iterable[Run]) -> None:
        for run in runs:
            self._adopted[run.pidfd] = run
            self._epoll.register(run.pidfd, select.EPOLLIN)

    def _turn(self) -> None:
        for fd, _ in self._epoll.poll(self._timeout()):
            if fd == self._signals.fd:
                self._signals.drain()
                self._reap()
            elif fd in self._adopted:
                self._adopted_ended(fd)
            elif fd == self._supervisors.waiting_fd:
                self._supervisors.waiting_spoke()
        while (asked := self._signals.take()) is not None:
            self._asked(asked)
        self._handle_some()
        self._meet_deadlines()
        link = self._supervisors.link
        if link is not None:
            link.go_on()
            if link.failure:
                self._break_link(link.failure)
            elif link.is_ended:
                self._close_link()
                self._supervisors.due["linkless"] = time.monotonic() + offices.LEAVING_SECONDS
        if link is None or not link.has_waiting:
            self._holding.write_some(_RECORDS_PER_TURN)

    def _timeout(self) -> float | None:
        link = self._supervisors.link
        if self._holding.has_unwritten or (link is not None and link.has_waiting):
            return 0.0
        due = min(
            [
                *self._deadlines.values(),
                *self._supervisors.due.values(),
                *self._gateways.kills_due,
                self._manager.due,
                self._reaper.due,
            ]
        )
        return max(0.0, due - time.monotonic()) if due < math.inf else None

    # ------------------------------------------------------------ signals

    def _catch_signals(self) -> None:
        self._signals = Signals()
        self._epoll.register(self._signals.fd, select.EPOLLIN)

    def _asked(self, number: signal.Signals) -> None:
        name, what = number.name, ASKED[number]
        if what == "stop":
            self._supervisors.stop_asked = True
            self._manager.tell(f"stopping everything in order, asked by {name}", "STOPPING=1")
            if "start" in self._supervisors.due:
                self._supervisors.due["start"] = time.monotonic()
        elif what == "detach":
            # The supervisor detaches when its logs are written; one that is stuck is not waited for.
            patience = offices.ANSWER_SECONDS if self._supervisors.life.is_ready else 0.0
            self._deadlines["detach"] = time.monotonic() + patience
        self._tell(messages.Asked(what, name))
        if what == "stop" and self._supervisors.life.is_ready:
            # One that is stuck must not keep the agent from ending: the next one is told, too.
            self._tell(messages.Ping())
            self._deadlines.setdefault("answer", time.monotonic() + offices.ANSWER_SECONDS)

    # ------------------------------------------------------------ deaths

    def _reap(self) -> None:
        for pid, status in self._reaper.ended():
            if pid == self._supervisors.pid:
                self._supervisor_ended(status)
            elif self._supervisors.other_ended(pid, status):
                continue
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
        if not self._supervisors.start():
            self._plan_supervisor()

    def _supervisor_ended(self, status: int) -> None:
        pid = self._supervisors.pid
        for received in self._supervisors.ended():
            # What it asked before it ended counts.
            self._handle(received)
        self._close_link()
        if self._leaving is not None:
            self._finish_leaving()
            return
        if self._exit_code is not None:
            return
        if "detach" in self._deadlines:
            self._leave(0)
            return
        if self._supervisors.present_ended() is Action.SWITCH:
            self._supervisors.switch(self._replacing.succeed)
            return
        words = f"the supervisor (pid {pid}) {offices.describe_status(status)}"
        if self._supervisors.life.young_deaths < _DEATHS_TOLD:
            say(words)
        else:
            failures.fails("keeping a supervisor", f"{words}, as those before it, soon after its start")
        self._manager.tell(f"{words}; the children run on")
        if (
            os.waitstatus_to_exitcode(status) == offices.BAD_CONFIGURATION
            and not self._supervisors.life.was_ever_ready
            and self._holding.is_empty
        ):
            self._exit_code = offices.BAD_CONFIGURATION
            return
        self._plan_supervisor()

    def _plan_supervisor(self) -> None:
        longest_pause = math.inf
        if self._supervisors.stop_asked:
            longest_pause = offices.STOPPING_PAUSE_SECONDS
            self._failures_since_stop += 1
            if self._failures_since_stop >= offices.FAILURES_BEFORE_STOPPING_ALONE:
                self._stop_alone()
                return
        self._supervisors.plan(longest_pause, self._replacing.succeed)

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
        self._supervisors.tell(message, fds)

    def _close_link(self) -> None:
        if self._supervisors.close_link():
            self._manager.pause()
            self._deadlines.pop("answer", None)
            self._gateways.link_ended(time.monotonic())

    def _break_link(self, reason: str) -> None:
        self._close_link()
        self._supervisors.kill(reason)

    def _handle_some(self) -> None:
        # Deaths are told between any few requests, however many come at once.
        for _ in range(_FRAMES_PER_TURN):
            link = self._supervisors.link
            received = link.next_message() if link is not None else None
            if received is None:
                return
            self._handle(received)

    def _handle(self, received: Received) -> None:
        try:
            message = messages.from_frame(received.frame)
            if isinstance(message, messages.StartGateway):
                self._start_gateway(message, received.fds)
            elif isinstance(message, messages.Keep):
                self._supervisors.keep(message, received.fds)
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
        elif isinstance(message, messages.WriteAs):
            self._replacing.write_as(message.format, message.version)
        elif isinstance(message, messages.Settled):
            self._supervisors.before = None
        elif isinstance(message, messages.Ready):
            self._supervisors.ready()
            words = f"supervising (supervisor pid {self._supervisors.pid})"
            self._manager.ready(time.monotonic(), words)
        elif isinstance(message, messages.Pong):
            self._manager.answered(time.monotonic())
            self._deadlines.pop("answer", None)
        elif isinstance(message, messages.Replace):
            self._supervisors.replace(message, self._replacing.state_to_check)
        elif isinstance(message, messages.Prepared):
            return
        elif isinstance(message, messages.Call):
            self._tell(messages.Here())
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
        if not self._supervisors.pid:
            return
        try:
            pid = self._gateways.start(request.argv, fds)
        except (OSError, IndexError) as error:
            failures.fails("starting the gateway", str(error))
            self._tell(messages.GatewayEnded(0, _NOT_STARTED))
            return
        failures.works("starting the gateway")
        self._tell(messages.GatewayStarted(pid))

    # ------------------------------------------------------------ the end

    def _leave(self, code: int) -> None:
        self._leaving = code
        self._deadlines.clear()
        self._supervisors.due.clear()
        living = self._holding.living
        self._manager.tell(f"leaving, {len(living)} children run on", "STOPPING=1")
        if living:
            names = ", ".join(f"{run.process} (pid {run.pid})" for run in living[:10])
            say(f"leaves {len(living)} children running: {names}{', ...' if len(living) > 10 else ''}")
        self._close_link()
        self._deadlines["leaving"] = time.monotonic() + offices.LEAVING_SECONDS
        self._finish_leaving()

    def _finish_leaving(self) -> None:
        if self._leaving is not None and not self._supervisors.pid and self._gateways.is_gone:
            self._exit_code = self._leaving

    def _meet_deadlines(self) -> None:
        now = time.monotonic()
        if self._reaper.due <= now:
            self._reap()
        for name in [name for name, due in self._deadlines.items() if due <= now]:
            del self._deadlines[name]
            if name == "kill":
                self._holding.signal_all(signal.SIGKILL)
            elif name == "detach":
                say("the supervisor does not detach in time; leaves without it")
                self._leave(0)
            else:
                self._supervisors.kill("it does not answer" if name == "answer" else "it does not leave")
        if self._supervisors.meet_deadlines(now):
            self._start_supervisor()
        self._gateways.end_late(now)
        beat = self._manager.beat(now)
        if beat is Beat.ASK:
            self._tell(messages.Ping())
        elif beat is Beat.LATE:
            self._break_link(f"it has not answered for {self._manager.ping_seconds:g} s")
