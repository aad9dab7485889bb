"""Whether the keeper answers. Used by `agent` and `requests`.

It is called when somebody looks, and when it has not said anything for a while since something was asked
of it: what it says first is mostly the effect of that, and a call at once would delay it.
"""

from collections.abc import Callable

from fleet_agent.link.messages import Call, ToKeeper
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.troubles import Troubles

SILENT_SECONDS = 5.0
LOOK_SECONDS = 1.0
PATIENCE_SECONDS = 1.0
KIND = "keeper"


class KeeperPulse:
    """Owns the one call that is outstanding, and the trouble of one that stays so."""

    def __init__(self, loop: Loop, send: Callable[[ToKeeper], None], troubles: Troubles) -> None:
        self._loop = loop
        self._send = send
        self._troubles = troubles
        self._called: float | None = None
        self._is_silent = False
        self._is_looking = False
        self._asked: float | None = None
        self._is_patient = False
        self.is_heeded = False
        """Whether this keeper is of a version that answers."""

    def ask(self, request: ToKeeper) -> None:
        """Send a request whose effect is waited for."""
        self._send(request)
        if self._asked is None:
            self._asked = self._loop.now()
            self._wait(PATIENCE_SECONDS)

    def heard(self) -> None:
        """The keeper has said something."""
        self._asked = None

    def _wait(self, seconds: float) -> None:
        if not self._is_patient:
            self._is_patient = True
            self._loop.after(seconds, self._call_if_unheard)

    def _call_if_unheard(self) -> None:
        self._is_patient = False
        if self._asked is None:
            return
        left = self._asked + PATIENCE_SECONDS - self._loop.now()
        if left > 0:
            self._wait(left)
        else:
            self._asked = None
            self.owes()

    def owes(self) -> float:
        """For how many seconds the keeper has owed an answer; calls it when it owes none."""
        if not self.is_heeded:
            return 0.0
        if self._called is not None:
            return self._loop.now() - self._called
        self._called = self._loop.now()
        self._send(Call())
        if not self._is_looking:
            self._is_looking = True
            self._loop.after(SILENT_SECONDS, self._look)
        return 0.0

    def answered(self) -> None:
        """The keeper is here."""
        self._called = None
        if self._is_silent:
            self._is_silent = False
            self._troubles.over(KIND, "")

    def _look(self) -> None:
        self._is_looking = self._called is not None
        if self._called is None:
            return
        seconds = self._loop.now() - self._called
        if seconds < SILENT_SECONDS:
            self._loop.after(SILENT_SECONDS - seconds, self._look)
        else:
            self._is_silent = True
            words = (
                f"has not answered for {seconds:.0f} s: nothing can be started, signalled or restarted, and"
                " what ends is not noticed; processes that run go on"
            )
            self._troubles.fail(KIND, "", words)
            self._loop.after(LOOK_SECONDS, self._look)
