"""The gateway's outside: its port is reserved here, and here is decided when it is started again.

The port is bound exclusively first, so that a stranger's is told at once, then opened to be shared with
the gateway, which binds beside it. It is never listened on here, and held for as long as this
supervisor lives; its number is kept, so that the next supervisor asks for the same one.
"""

import json
import os
import pwd
import socket
import stat
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from fleet_api.errors import BadRequest, Conflict, Denied, FleetError

from fleet_agent.config.settings import FleetSettings
from fleet_agent.core.describe import exit_text
from fleet_agent.formats.format import DAMAGE
from fleet_agent.formats.table import PORT
from fleet_agent.link.channel import Channel
from fleet_agent.link.messages import GatewayEnded, StartGateway
from fleet_agent.supervisor.attendance import Attendance
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.sessions import Handler, Session
from fleet_agent.supervisor.troubles import Report
from fleet_agent.supervisor.wait_status import exit_of
from fleet_agent.supervisor.whole_file import read_ours, write_whole

MAX_PORT_BYTES = 4096
GATEWAY_ACTOR = "gateway"
MIN_LIFE_SECONDS = 10.0
MIN_PAUSE_SECONDS = 0.1
MAX_PAUSE_SECONDS = 5.0
TOLD_PAUSE_SECONDS = 0.5
"""Up to this pause each end is told by itself; then it is a trouble."""

LEAVING_SECONDS = 5.0
# Of nobody there may be others, who could bind beside the gateway, or end it.
_DEFAULT_USERS = ("fleet-agent", "nobody")
QUICK_RETRY_SECONDS = 0.05
QUICK_TRIES = 40
SLOW_RETRY_SECONDS = 5.0
REFUSED_PAUSE_SECONDS = 10.0
"""After a gateway that said why it cannot serve: most likely somebody has to change a file first."""


class Secrets(NamedTuple):
    """The PEM texts that the gateway needs and may not read itself."""

    certificate: str
    key: str
    ca: str


class Gateways:
    """Owns the port, the link to the gateway, and the pause before it is started again."""

    def __init__(
        self,
        loop: Loop,
        settings: FleetSettings,
        port_file: str,
        start: Callable[[StartGateway, list[int]], None],
        report: Callable[[str], None],
        on_address: Callable[[], None],
        trouble: Report,
    ) -> None:
        """`start` asks the keeper for a gateway; `on_address` is called when `address` has become known."""
        self._loop = loop
        self._settings = settings
        self._port_file = port_file
        self._start = start
        self._report = report
        self._on_address = on_address
        self._trouble = trouble
        self._attendance = Attendance(loop, self._on_silence)
        self._handler: Handler | None = None
        self._port: socket.socket | None = None
        self._session: Session | None = None
        self._began = 0.0
        self._pause = 0.0
        self._tries = 0
        self._is_closed = False
        self._is_refusing = False
        self.address = ""
        self.pid = 0
        self.problem = ""
        """Why nobody serves the port, in words."""

    def reserve(self, is_first: bool) -> None:
        """Reserve the port and see that the secrets can be read; without `listen` there is nothing to do.

        Raises: FleetError when this is the agent's first start and the port or a file is wrong; later
        that is reported and tried again once `open` has been called, since supervision goes on without
        a gateway.
        """
        if not self._settings.listen:
            return
        try:
            self._reserve(may_move=is_first)
            self.read_secrets()
        except FleetError:
            if is_first:
                raise

    def open(self, handler: Handler) -> None:
        """Start the gateway, now or as soon as that is possible; `handler` answers its requests."""
        self._handler = handler
        if self._settings.listen:
            self._try()

    def _try(self) -> None:
        if self._is_closed:
            return
        try:
            self._reserve(may_move=self._tries >= QUICK_TRIES)
            self.read_secrets()
        except FleetError as error:
            # The gateway of the last supervisor may hold the port a moment longer.
            self._tries += 1
            if self._tries == QUICK_TRIES:
                self._note(f"{error.message}; trying on each {SLOW_RETRY_SECONDS:.0f} s")
            pause = QUICK_RETRY_SECONDS if self._tries < QUICK_TRIES else SLOW_RETRY_SECONDS
            self._loop.after(pause, self._try)
            return
        self._launch()

    def configuration(self, host_id: str, identifier: str) -> dict[str, Any]:
        """What the gateway needs to know; only its own link may ask.

        Raises: FleetError when a file of the settings cannot be used.
        """
        secrets = self.read_secrets()
        account = self._account()
        return {
            "host_id": host_id,
            "listen": self.address,
            "insecure_plaintext": self._settings.insecure_plaintext,
            "certificate": secrets.certificate,
            "key": secrets.key,
            "ca": secrets.ca,
            "user": {"uid": account.pw_uid, "gid": account.pw_gid} if account else None,
            "identifier": identifier,
        }

    def read_secrets(self) -> Secrets:
        """The PEM files of the settings.

        Raises: Denied when others could read the key; BadRequest when a file cannot be read.
        """
        settings = self._settings
        if settings.insecure_plaintext:
            return Secrets("", "", "")
        _refuse_open_key(settings.key)
        return Secrets(_read(settings.certificate), _read(settings.key), _read(settings.ca))

    def on_serving(self, error: FleetError | None) -> None:
        """The gateway says that it serves, or why it cannot."""
        self._is_refusing = error is not None
        self._trouble("" if error is None else f"does not serve: {error.message}")
        if error is None:
            self._note("")
        else:
            self._note(f"{error.message} ({error.hint})" if error.hint else error.message)

    def _note(self, problem: str) -> None:
        """Remember why there is no gateway; it is told once, and so is its end."""
        if problem != self.problem:
            self.problem = problem
            self._report(f"no gateway: {problem}" if problem else f"a gateway serves {self.address} again")

    def on_ended(self, message: GatewayEnded, now: float) -> None:
        """It ended: start it again, at once unless it died young."""
        if message.pid not in {0, self.pid}:
            # An older one, of an earlier supervisor or already replaced.
            return
        self._close_session()
        self.pid = 0
        if self._is_refusing:
            self._loop.after(REFUSED_PAUSE_SECONDS, self._launch)
            return
        young = now - self._began < MIN_LIFE_SECONDS
        self._pause = min(MAX_PAUSE_SECONDS, max(MIN_PAUSE_SECONDS, self._pause * 2)) if young else 0.0
        again = f"starting it again in {self._pause:.1f} s" if self._pause else "starting it again"
        how = exit_text(exit_of(message.status)) if message.pid else "it could not be started"
        if self._pause > TOLD_PAUSE_SECONDS:
            self._trouble(f"does not stay up: {how}; it is started again every {MAX_PAUSE_SECONDS:.0f} s")
        elif message.pid:
            self._report(f"gateway {message.pid} ended ({how}); {again}")
        else:
            self._report(f"the gateway could not be started; {again}")
        self._loop.after(self._pause, self._launch)

    def close(self) -> None:
        """Let the gateway go: it leaves when its link ends."""
        self._is_closed = True
        self._close_session()
        if self._port is not None:
            self._port.close()
            self._port = None

    def _launch(self) -> None:
        if self._port is None or self._handler is None:
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        main = os.path.join(os.path.dirname(os.path.dirname(__file__)), "gateway", "main.py")
        argv = [sys.executable, "-P", "-X", "no_debug_ranges", main, "--link-fd", "3", "--port-fd", "4"]
        self._close_session()
        self.pid = 0
        self._is_refusing = False
        self._session = Session(
            self._loop, Channel(ours), GATEWAY_ACTOR, self._handler, self._on_session_end, is_gateway=True
        )
        with theirs:
            self._start(StartGateway(argv), [theirs.fileno(), self._port.fileno()])
        self._began = self._loop.now()
        self._attendance.expect()

    def _on_session_end(self, session: Session) -> None:
        """The link to the gateway in use has ended: it leaves, or is replaced when it does not."""
        if session is self._session:
            self._session = None
            began = self._began
            self._loop.after(LEAVING_SECONDS, lambda: self._replace(began))

    def _replace(self, began: float) -> None:
        if self.pid and self._session is None and self._began == began:
            self._report(f"gateway {self.pid} has lost its link and does not leave; replacing it")
            self._launch()

    def attend(self, session: Session, number: int) -> None:
        """The gateway opens the stream that it is called by: see `attendance`."""
        self._attendance.begin(session, number)

    def present(self, call: int) -> None:
        """It answers a call."""
        self._attendance.present(call)

    def look(self) -> None:
        """Somebody asks for the gateway: see whether it answers."""
        self._attendance.look()

    def _on_silence(self, seconds: float) -> None:
        self._trouble(f"has not answered for {seconds:.0f} s (pid {self.pid}); it is replaced")
        self._launch()

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
        self._attendance.end()

    def _account(self) -> pwd.struct_passwd | None:
        wanted = self._settings.gateway_user
        names = (wanted,) if wanted else _DEFAULT_USERS if os.geteuid() == 0 else ()
        for name in names:
            try:
                return pwd.getpwnam(name)
            except KeyError:
                continue
        if not names:
            return None
        raise BadRequest(
            "UNKNOWN_USER",
            f"[fleet] gateway_user: there is no user {' or '.join(map(repr, names))}",
            "name an unprivileged user that exists",
        )

    def _reserve(self, may_move: bool) -> None:
        """Bind the port that is configured. Port 0 is the one of last time; `may_move`: or any other."""
        if self._port is not None:
            return
        host, _, number = self._settings.listen.rpartition(":")
        host = host.strip("[]")
        account = self._account()
        kept = 0 if int(number) else self._kept_port()
        try:
            reserved = _bind(host, int(number) or kept)
        except Conflict:
            if not (kept and may_move):
                raise
            reserved = _bind(host, 0)
        if account is not None:
            # The kernel shares a port only among sockets of one user.
            os.fchown(reserved.fileno(), account.pw_uid, account.pw_gid)
        self._port = reserved
        port = reserved.getsockname()[1]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            write_whole(self._port_file, json.dumps(PORT.dump({"port": port}, PORT.version)))
        except OSError as error:
            self._report(f"could not write {self._port_file}: {error.strerror}")
        self._on_address()

    def _kept_port(self) -> int:
        try:
            port = int(PORT.load(json.loads(read_ours(self._port_file, MAX_PORT_BYTES)))["port"])
        except (OSError, *DAMAGE):
            return 0
        return port if 0 < port < 65536 else 0


def _bind(host: str, port: int) -> socket.socket:
    """A socket that holds a port, to be shared with others of the same user from now on.

    Raises: Conflict when that is not possible.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # What an earlier gateway's connections left in the kernel is no obstacle, a listener is.
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reserved.bind((host, port))
    except (OSError, OverflowError) as error:
        reserved.close()
        raise Conflict(
            "PORT_IN_USE",
            f"[fleet] listen: {host}:{port} cannot be bound: {getattr(error, 'strerror', error)}",
            "another program listens there, or the address is not this host's",
        ) from error
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return reserved


def _refuse_open_key(path: str) -> None:
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
    except OSError as error:
        raise BadRequest("KEY_UNREADABLE", f"key {path}: {error.strerror}") from error
    if mode & 0o077:
        raise Denied(
            "KEY_READABLE_BY_OTHERS",
            f"key {path} has mode {mode:04o}: others than its owner can read it",
            f"chmod 600 {path}",
        )


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError) as error:
        raise BadRequest(
            "FILE_UNREADABLE", f"{path}: {error}", "check [fleet] certificate, key and ca"
        ) from error
