"""Tells the service manager that started us how we are (sd_notify), and answers its watchdog.

Called by the keeper's loop. The watchdog is answered only while the supervisor answers our pings; without
WATCHDOG_USEC there are none, and without NOTIFY_SOCKET nothing is told. A supervisor that is silent for a
third of the watchdog's time is to be replaced long before the manager would end us for it.
"""

import math
import os
import socket
from collections.abc import MutableMapping
from enum import Enum

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
GRACE_SECONDS = 1.0
"""An answer may have come while we ourselves were stopped: time to read it."""


class Beat(Enum):
    """What the keeper has to do for the watchdog now."""

    NOTHING = "nothing"
    ASK = "ask the supervisor"
    LATE = "replace the supervisor"


class ServiceManager:
    """The manager, and when the supervisor is asked on its behalf; times are of the monotonic clock.

    `due` is when `beat` has something to do. The variables are taken out of `environ`: what we start must
    not speak for us. They stay in `variables`, for a keeper that takes our place in the same process.
    """

    def __init__(self, environ: MutableMapping[str, str], pid: int) -> None:
        self.variables = {name: environ.pop(name) for name in VARIABLES if name in environ}
        self._address = self.variables.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        self._socket: socket.socket | None = None
        if self._address:
            # Kept open: it is needed most when there are no descriptors left.
            kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            self._socket = socket.socket(socket.AF_UNIX, kind)
        self.ping_seconds = _watchdog_seconds(self.variables, pid) / 3 if self._address else 0.0
        self._pid = pid
        self.due = math.inf
        self._is_asked = False
        self._is_overdue = False

    def tell(self, status: str, *assignments: str) -> None:
        """Say one line of status and further assignments, unless nobody takes them."""
        if self._socket is None:
            return
        text = "\n".join([*assignments, f"STATUS={status}"])
        try:
            self._socket.sendto(os.fsencode(text), os.fsencode(self._address))
        except OSError:
            return

    def ready(self, now: float, status: str) -> None:
        """The supervisor serves; it is asked from now on."""
        self.tell(status, "READY=1", f"MAINPID={self._pid}")
        if self.ping_seconds:
            self._is_asked = self._is_overdue = False
            self.due = now

    def pause(self) -> None:
        """There is no supervisor that could answer; the watchdog is not answered until there is."""
        self.due = math.inf

    def answered(self, now: float) -> None:
        """The supervisor has answered: so do we."""
        if self._is_asked and self._socket is not None:
            self._is_asked = self._is_overdue = False
            self.due = now + self.ping_seconds
            try:
                self._socket.sendto(b"WATCHDOG=1", os.fsencode(self._address))
            except OSError:
                return

    def beat(self, now: float) -> Beat:
        """What is to be done now; each answer is given once."""
        if now < self.due:
            return Beat.NOTHING
        if not self._is_asked:
            self._is_asked = True
            self.due = now + self.ping_seconds
            return Beat.ASK
        if not self._is_overdue:
            self._is_overdue = True
            self.due = now + GRACE_SECONDS
            return Beat.NOTHING
        self.due = math.inf
        return Beat.LATE


def _watchdog_seconds(variables: MutableMapping[str, str], pid: int) -> float:
    """How long the manager waits for an answer; 0 when it does not."""
    if variables.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    text = variables.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdecimal() else 0.0
