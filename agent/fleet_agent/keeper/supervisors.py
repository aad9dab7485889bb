"""One supervisor after the other: their starts and links, and the version that takes the place of another.

Owned by the keeper's loop, which carries out what they ask.
"""

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence

from fleet_agent.keeper import offices, procfs
from fleet_agent.keeper.fingerprint import fingerprint
from fleet_agent.keeper.folders import Locks
from fleet_agent.keeper.handover import READY_SECONDS, Action, Event, Handover, Stage, Version
from fleet_agent.keeper.holding import Holding
from fleet_agent.keeper.notes import failures, say
from fleet_agent.keeper.spawn import Spare, start_office
from fleet_agent.keeper.succession import Succession, SupervisorLeft
from fleet_agent.keeper.supervisor_link import SupervisorLink
from fleet_agent.link import messages
from fleet_agent.link.channel import Received

MAX_KEPT = 64

Succeed = Callable[[list[str], SupervisorLeft], str]
"""Have the keeper of this command line take our place; returns, with the reason, only when it cannot."""


class Supervisors:
    """The present supervisor, the one that may follow it, and what is kept for either.

    `link` leads to the present one once it was introduced; `due` tells when what is to be done.
    """

    def __init__(
        self, version: Version, locks: Locks, spare: Spare, epoll: select.epoll, holding: Holding
    ) -> None:
        self.version = version
        self.before: Version | None = None
        self.upgrade = self.reverted = ""
        self.life = offices.SupervisorLife()
        self.link: SupervisorLink | None = None
        self.kept: dict[str, tuple[int, str]] = {}
        self.due: dict[str, float] = {}
        self.stop_asked = False
        self._locks = locks
        self._spare = spare
        self._epoll = epoll
        self._holding = holding
        self._boot_id = procfs.boot_id()
        # Now: the files may be replaced while we run.
        self._fingerprint = fingerprint()
        self._handover: Handover | None = None

    @property
    def pid(self) -> int:
        """The pid of the present supervisor, 0 between two."""
        return self.life.pid

    @property
    def nobody(self) -> SupervisorLeft:
        """What is left of supervisors where none waits."""
        return SupervisorLeft(0, -1, self.life.number, self.life.was_ever_ready)

    # ------------------------------------------------------------ start

    def start(self) -> bool:
        """Start a supervisor of the present version; False when that is not possible."""
        self.due.clear()
        self.life.number += 1
        try:
            ours, pid = self._start_with_link(self.version.supervisor)
        except OSError as error:
            failures.fails("starting the supervisor", f"{self.version.supervisor[0]}: {error.strerror}")
            self.life.started(0, time.monotonic())
            return False
        failures.works("starting the supervisor")
        self.life.started(pid, time.monotonic())
        self._introduce(ours)
        return True

    def take_over(self, left: Succession) -> None:
        """Learn what another keeper knew of supervisors."""
        self.before, self.upgrade, self.reverted = left.before, left.upgrade, left.reverted
        self.kept = {name: (fd, note) for name, fd, note in left.kept}
        self.stop_asked = left.stop_asked
        self.life.number = left.supervisor.number
        self.life.was_ever_ready = left.supervisor.was_ever_ready

    def meet(self, left: SupervisorLeft) -> None:
        """Go on with the supervisor that another keeper has left waiting."""
        self.life.started(left.pid, time.monotonic())
        self._introduce(socket.socket(fileno=left.link))

    def _start_with_link(self, argv: Sequence[str]) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                inherited = [theirs.fileno(), self._locks.runtime.fd]
                environ = offices.supervisor_environment(os.environb)
                return ours, start_office(argv, inherited, self._spare, environ)
            except OSError:
                ours.close()
                raise

    def _introduce(self, ours: socket.socket) -> None:
        self._locks.runtime.tell(self.pid)
        hello = messages.Hello(
            messages.PROTOCOL_VERSION,
            os.getpid(),
            self._boot_id,
            self.life.number,
            ["stop"] if self.stop_asked else [],
            self.upgrade,
            self.reverted,
            heeds_calls=True,
            fingerprint=self._fingerprint,
        )
        kept = [(messages.Kept(name, note), fd) for name, (fd, note) in self.kept.items()]
        self.link = SupervisorLink(ours, self._epoll, hello, kept, self._holding)
        if self.before is not None:
            self.due["unready"] = time.monotonic() + READY_SECONDS

    # ------------------------------------------------------------ life

    def tell(self, message: messages.ToSupervisor, fds: Sequence[int] = ()) -> None:
        """Send a message, if there is anybody to hear it."""
        if self.link is not None:
            self.link.tell(message, fds)

    def keep(self, message: messages.Keep, fds: Sequence[int]) -> None:
        """Hold a descriptor for later supervisors; without one, let go of the last of this name."""
        if not fds or message.name in self.kept:
            fd, _ = self.kept.pop(message.name, (-1, ""))
            if fd >= 0:
                os.close(fd)
        if fds and len(self.kept) < MAX_KEPT:
            try:
                self.kept[message.name] = (os.dup(fds[0]), message.note)
            except OSError as error:
                failures.fails(f"keeping {message.name}", error.strerror or str(error))

    def ready(self) -> None:
        """It serves."""
        self.life.ready()
        failures.works("keeping a supervisor")
        self.due.pop("unready", None)
        self.reverted = ""

    def ended(self) -> list[Received]:
        """Note the end of the present one; what it said before that is yet to be carried out."""
        self.life.pid = 0
        self.due.clear()
        return list(self.link.last_messages()) if self.link is not None else []

    def close_link(self) -> bool:
        """Give up the link, if there is one."""
        link, self.link = self.link, None
        if link is not None:
            link.close()
        return link is not None

    def kill(self, reason: str) -> None:
        """End the present one."""
        if self.pid:
            say(f"the supervisor (pid {self.pid}) is killed: {reason}")
            os.kill(self.pid, signal.SIGKILL)

    def plan(self, longest_pause: float, succeed: Succeed) -> None:
        """Decide when the next one is started, and of which version.

        A version whose first supervisor dies young is taken back.
        """
        now = time.monotonic()
        was_ready = self.life.is_ready
        pause = self.life.ended(now)
        before, self.before = self.before, None
        if before is not None and (not was_ready or self.life.young_deaths):
            say("the version before it comes back")
            present, self.version = self.version, before
            self.reverted = f"the supervisor of the new version ended after {self.life.lived:.1f} s"
            self.life.young_deaths = 0
            pause = 0.0
            if before.keeper != present.keeper:
                say(f"the keeper stays as it is: {succeed(before.keeper, self.nobody)}")
        self.due["start"] = now + min(pause, longest_pause)

    def meet_deadlines(self, now: float) -> bool:
        """Do what is due, except a start: whether that is due."""
        is_start_due = False
        for name in [name for name, due in self.due.items() if due <= now]:
            del self.due[name]
            if name == "start":
                is_start_due = True
            elif name == "handover":
                self._happens(Event.LATE, "it took too long")
            else:
                self.kill("it has lost its link" if name == "linkless" else "it did not begin to serve")
        return is_start_due

    # ------------------------------------------------------------ another version

    @property
    def waiting_fd(self) -> int:
        """The link of a supervisor that has been started beside the present one, or -1."""
        link = self._handover.link if self._handover else None
        return link.fileno() if link is not None else -1

    def replace(self, request: messages.Replace, state: Callable[[], int]) -> None:
        """Begin a change of version; `state` writes what the next keeper has to be able to read."""
        if self._handover is not None:
            self.tell(messages.ReplaceFailed(request.upgrade, "another upgrade is under way"))
            return
        self._handover = Handover(request)
        self._begin_stage()
        if not request.keeper_argv:
            self._start_next()
            return
        try:
            fd = state()
            try:
                self._handover.pid = start_office(
                    [*request.keeper_argv, "--state-fd", "3", "--check"],
                    [fd],
                    self._spare,
                    offices.supervisor_environment(os.environb),
                )
            finally:
                os.close(fd)
        except OSError as error:
            self._happens(Event.CHECK_FAILED, f"{request.keeper_argv[0]}: {error.strerror}")

    def waiting_spoke(self) -> None:
        """The link of the one that waits can be read."""
        if self._handover is not None and self._handover.is_prepared():
            self._epoll.unregister(self.waiting_fd)
            self._happens(Event.PREPARED)

    def other_ended(self, pid: int, status: int) -> bool:
        """Whether this was the process of a change of version."""
        handover = self._handover
        if handover is None or not pid or pid != handover.pid:
            return False
        handover.pid = 0
        if handover.link is not None:
            self._happens(Event.NEXT_ENDED, f"its supervisor {offices.describe_status(status)}")
        elif status == 0:
            self._happens(Event.CHECKED)
        else:
            words = f"its keeper cannot go on with this one's state ({offices.describe_status(status)})"
            self._happens(Event.CHECK_FAILED, words)
        return True

    def present_ended(self) -> Action:
        """The present supervisor has ended: what a change of version makes of that."""
        return self._happens(Event.PRESENT_ENDED, "the supervisor ended before the next one was prepared")

    def switch(self, succeed: Succeed) -> None:
        """Introduce the one that waits, by a keeper of its version where that differs."""
        handover, self._handover = self._handover, None
        assert handover is not None and handover.link is not None
        request = handover.request
        present = self.version
        self.version = Version(request.supervisor_argv, request.keeper_argv or present.keeper)
        self.before, self.upgrade = present, request.upgrade
        self.life.number += 1
        self.life.started(handover.pid, time.monotonic())
        if request.keeper_argv:
            left = SupervisorLeft(
                handover.pid, handover.link.fileno(), self.life.number, self.life.was_ever_ready
            )
            say(f"the keeper stays as it is: {succeed(request.keeper_argv, left)}")
        self._introduce(handover.link)

    def _happens(self, event: Event, reason: str = "") -> Action:
        handover = self._handover
        if handover is None:
            return Action.NONE
        action = handover.happens(event)
        if action is Action.START_NEXT:
            self._start_next()
        elif action is Action.ASK_TO_YIELD:
            self._begin_stage()
            self.tell(messages.Yield(handover.request.upgrade))
        elif action is Action.KILL_PRESENT:
            self.kill("it does not give way to the next version")
        elif action is Action.GIVE_UP:
            self._give_up(handover, reason)
        return action

    def _begin_stage(self) -> None:
        assert self._handover is not None
        self.due["handover"] = time.monotonic() + self._handover.seconds

    def _start_next(self) -> None:
        handover = self._handover
        assert handover is not None
        self._begin_stage()
        try:
            handover.link, handover.pid = self._start_with_link(handover.request.supervisor_argv)
        except OSError as error:
            handover.pid = 0
            self._happens(Event.NEXT_ENDED, f"{handover.request.supervisor_argv[0]}: {error.strerror}")
            return
        self._epoll.register(handover.link.fileno(), select.EPOLLIN)

    def _give_up(self, handover: Handover, reason: str) -> None:
        self._handover = None
        self.due.pop("handover", None)
        if handover.pid:
            os.kill(handover.pid, signal.SIGKILL)
        if handover.link is not None:
            handover.link.close()
        say(f"the upgrade is given up: {reason}")
        self.tell(messages.ReplaceFailed(handover.request.upgrade, reason))
        if not self.pid or handover.stage is Stage.YIELDING:
            # It leaves, or has left: the next one is to tell.
            self.upgrade, self.reverted = handover.request.upgrade, reason
