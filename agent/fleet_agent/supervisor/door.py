"""The local door: a unix socket that only root and the agent's own user may use."""

import contextlib
import os
import pwd
import socket
from collections.abc import Callable
from typing import NamedTuple

from fleet_api.errors import Denied
from fleet_api.frames import encode
from fleet_api.paths import MAX_SOCKET_PATH_BYTES
from fleet_api.peer import uid_of_peer

from fleet_agent.link.channel import Channel
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.sessions import Handler, Session

MAX_REQUEST_BYTES = 1024 * 1024
MAX_SESSIONS = 256
ACCEPT_PAUSE_SECONDS = 1.0


class KeptSocket(NamedTuple):
    """A listening socket that the keeper held, and what was noted with it."""

    fd: int
    note: str


class Door:
    """Owns the listening socket and the sessions that came through it."""

    def __init__(
        self,
        loop: Loop,
        path: str,
        handler: Handler,
        tell: Callable[[str], None],
        report: Callable[[str], None],
        kept: KeptSocket | None,
        keep: Callable[[int, str], None],
    ) -> None:
        """`tell` takes lines for the activity log, `report` why no connection can be taken ("": it can).

        `kept` is the socket of an earlier supervisor; `keep` has one held for the next.
        """
        self._loop = loop
        self._path = path
        self._handler = handler
        self._tell = tell
        self._report = report
        self._is_failing = False
        # In the order of their arrival.
        self._sessions: dict[Session, None] = {}
        if kept is not None and kept.note == _identity(path):
            # Whoever has knocked meanwhile still waits there.
            self._socket = socket.socket(fileno=kept.fd)
        else:
            if kept is not None:
                os.close(kept.fd)
            self._socket = _listen(path)
            keep(self._socket.fileno(), _identity(path))
        loop.watch(self._socket.fileno(), self._accept)

    def leave(self) -> None:
        """End all sessions; whoever knocks from now on waits for the next supervisor."""
        self._loop.forget(self._socket.fileno())
        self._socket.close()
        for session in tuple(self._sessions):
            session.close()

    def close(self) -> None:
        """End all sessions and take the socket away."""
        self.leave()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return  # whoever knocked has left
        except OSError as error:
            self._is_failing = True
            self._report(f"cannot take a connection: {error.strerror}; fleetctl waits")
            # It still waits, and the loop would come back here at once.
            self._loop.forget(self._socket.fileno())
            self._loop.after(ACCEPT_PAUSE_SECONDS, self._listen_again)
            return
        if self._is_failing:
            self._is_failing = False
            self._report("")
        refusal = self._refusal(connection)
        if refusal is not None:
            # A few bytes into an empty socket buffer cannot block; whoever has left needs no answer.
            with connection, contextlib.suppress(OSError):
                connection.sendall(encode({"id": 0, "error": refusal.to_wire()}))
            return
        uid = uid_of_peer(connection)
        channel = Channel(connection, MAX_REQUEST_BYTES)
        session = Session(self._loop, channel, user_name(uid), self._handler, self._forget)
        self._sessions[session] = None

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session, None)

    def _make_room(self) -> bool:
        """Send away the program that has come first and waits for nothing; False when all wait."""
        for session in self._sessions:
            if session.is_idle:
                session.close()
                return True
        return False

    def _listen_again(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.watch(self._socket.fileno(), self._accept)

    def _refusal(self, connection: socket.socket) -> Denied | None:
        uid = uid_of_peer(connection)
        if uid not in (0, os.geteuid()):
            self._tell(f"door: refused {user_name(uid)} (uid {uid})")
            return Denied(
                "DOOR_NOT_ALLOWED",
                f"{user_name(uid)} may not use this agent's door",
                f"ask as root or as {user_name(os.geteuid())}",
            )
        if len(self._sessions) >= MAX_SESSIONS and not self._make_room():
            return Denied(
                "TOO_MANY_SESSIONS", f"{MAX_SESSIONS} programs use the door already", "try again later"
            )
        return None


def user_name(uid: int) -> str:
    """The name of a user, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _identity(path: str) -> str:
    """What tells the socket at `path` from one that was put in its place; empty when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_dev}:{found.st_ino}:{found.st_ctime_ns}"


def _listen(path: str) -> socket.socket:
    """A listening socket at `path`, which nobody else may open before its mode is set.

    The keeper's lock says that no other agent lives here, so a socket that is left is stale.
    """
    folder, name = os.path.split(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    before = os.umask(0o177)
    try:
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            listener.bind(path)
        else:
            folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                listener.bind(f"/proc/self/fd/{folder_fd}/{name}")
            finally:
                os.close(folder_fd)
    finally:
        os.umask(before)
    listener.listen(128)
    return listener
