"""The blocking client of an agent's local door: one unix socket, JSON frames, descriptors beside them.

`fleetctl` uses it for the agent of its own host. Standard library only: no command that stays on the
host pays for gRPC.
"""

import array
import contextlib
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from fleet_api.errors import Broken, Denied, FleetError, Unavailable, from_wire
from fleet_api.frames import Decoder, Frame, encode
from fleet_api.paths import MAX_SOCKET_PATH_BYTES
from fleet_api.peer import uid_of_peer

NOT_FOUND = "DOOR_NOT_FOUND"
REFUSED = "DOOR_REFUSED"
CLOSED = "DOOR_CLOSED"
TIMED_OUT = "DOOR_TIMED_OUT"
DENIED = "DOOR_DENIED"
GARBAGE = "DOOR_GARBAGE"
UNUSABLE = "DOOR_UNUSABLE"
STRANGER = "DOOR_OF_A_STRANGER"

AWAY = frozenset({NOT_FOUND, REFUSED, CLOSED})
"""Codes seen while a supervisor is being replaced: the same request may succeed a moment later."""

_RECEIVE_BYTES = 256 * 1024
_FULL_PAUSE_SECONDS = 0.01
_MAX_FDS = 253  # the kernel's limit for one message


class Door:
    """One connection. One request or stream at a time; ends a stream left early before the next."""

    def __init__(self, sock: socket.socket, path: str) -> None:
        self._socket = sock
        self._path = path
        self._decoder = Decoder()
        self._frames: deque[Frame] = deque()
        self._fds: deque[int] = deque()
        self._last_id = 0

    @classmethod
    def connect(cls, path: str, timeout_seconds: float = 5.0) -> "Door":
        """Connect to the door at `path`.

        Raises: Unavailable DOOR_NOT_FOUND, DOOR_REFUSED, DOOR_TIMED_OUT; Denied DOOR_DENIED, or
        DOOR_OF_A_STRANGER when neither root nor our own user listens there (root may ask anybody);
        Broken DOOR_UNUSABLE for any other answer of the kernel.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(timeout_seconds)
            _connect_patiently(sock, path, time.monotonic() + timeout_seconds)
        except OSError as error:
            sock.close()
            raise _why_not(path, error, timeout_seconds) from error
        listener = uid_of_peer(sock)
        if os.geteuid() not in (0, listener) and listener:
            sock.close()
            raise Denied(
                STRANGER,
                f"uid {listener} listens at {path}, and not an agent of root or of uid {os.geteuid()}",
                "name the agent's own place with --door or --state-dir; remove what stands in its place",
            )
        return cls(sock, path)

    def request(self, do: str, *, timeout_seconds: float | None = None, **args: Any) -> dict[str, Any]:
        """Ask and wait for the one answer, at most `timeout_seconds` (None: as long as it takes).

        Raises: the error the agent answered with; Unavailable DOOR_CLOSED, DOOR_TIMED_OUT;
        Broken DOOR_GARBAGE.
        """
        result, fds = self.request_with_fds(do, timeout_seconds=timeout_seconds, **args)
        _close_all(fds)
        return result

    def request_with_fds(
        self, do: str, *, timeout_seconds: float | None = None, **args: Any
    ) -> tuple[dict[str, Any], list[int]]:
        """As `request`, with the descriptors that came beside the answer; the caller closes them."""
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        request_id = self._send(do, args, deadline, timeout_seconds)
        frame, fds = self._next(request_id, deadline, timeout_seconds)
        try:
            return self._result(frame), fds
        except FleetError:
            _close_all(fds)
            raise

    def stream(
        self,
        do: str,
        *,
        timeout_seconds: float | None = None,
        first_timeout_seconds: float | None = None,
        **args: Any,
    ) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Each item with its descriptors (the caller closes them), until the agent ends the stream.

        `timeout_seconds` is the longest silence before an item, `first_timeout_seconds` (if given) that
        before the first. Leaving the loop early tells the agent to stop. Raises: as `request`.
        """
        seconds = timeout_seconds if first_timeout_seconds is None else first_timeout_seconds
        request_id = self._send(do, args, None, seconds)
        has_ended = False
        try:
            while True:
                deadline = None if seconds is None else time.monotonic() + seconds
                try:
                    frame, fds = self._next(request_id, deadline, seconds)
                except FleetError:
                    has_ended = True
                    raise
                if "item" not in frame:
                    has_ended = True
                    _close_all(fds)
                    self._result(frame)
                    return
                item = frame["item"]
                if not isinstance(item, dict):
                    _close_all(fds)
                    raise self._garbage(f"an item is {type(item).__name__} instead of an object")
                seconds = timeout_seconds
                yield item, fds
        finally:
            if not has_ended:
                with contextlib.suppress(OSError):
                    self._socket.sendall(encode({"id": request_id, "do": "cancel"}))

    def close(self) -> None:
        """Close the connection and every descriptor that nobody took."""
        self._socket.close()
        _close_all(self._fds)
        self._fds.clear()

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(
        self, do: str, args: dict[str, Any], deadline: float | None, timeout_seconds: float | None
    ) -> int:
        self._last_id += 1
        data = encode({"id": self._last_id, "do": do, **args})
        try:
            self._socket.settimeout(_left(deadline))
            self._socket.sendall(data)
        except TimeoutError as error:
            raise self._timed_out(timeout_seconds) from error
        except BrokenPipeError:
            # Whoever closes before it is asked has said why.
            self._next(0, deadline, timeout_seconds)
        except OSError as error:
            raise self._closed(f"while it was asked ({error.strerror})") from error
        return self._last_id

    def _next(
        self, request_id: int, deadline: float | None, timeout_seconds: float | None
    ) -> tuple[Frame, list[int]]:
        """The next frame of this request; frames of streams ended before are dropped."""
        while True:
            while not self._frames:
                self._receive(deadline, timeout_seconds)
            frame = self._frames.popleft()
            fds = self._take_fds(frame)
            frame_id = frame.get("id")
            if frame_id == request_id and request_id:
                return frame, fds
            _close_all(fds)
            if not frame_id and isinstance(frame.get("error"), dict):
                raise from_wire(frame["error"])  # about the connection: we are not let in, or not understood
            if not isinstance(frame_id, int) or not 0 < frame_id < request_id:
                raise self._garbage(f"an answer to request {frame_id!r}, which was never asked")

    def _receive(self, deadline: float | None, timeout_seconds: float | None) -> None:
        try:
            self._socket.settimeout(_left(deadline))
            data, ancillary, flags, _ = self._socket.recvmsg(
                _RECEIVE_BYTES, socket.CMSG_SPACE(_MAX_FDS * 4), _CLOEXEC
            )
        except TimeoutError as error:
            raise self._timed_out(timeout_seconds) from error
        except OSError as error:
            raise self._closed(f"before it answered ({error.strerror})") from error
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                self._fds.extend(fds)
        if flags & socket.MSG_CTRUNC:
            raise self._garbage("descriptors were lost on the way (the limit of open files?)")
        if not data:
            where = "without an answer" if self._decoder.is_between_frames else "in the middle of an answer"
            raise self._closed(where)
        try:
            self._frames.extend(self._decoder.feed(data))
        except FleetError as error:
            raise self._garbage(error.message) from error

    def _take_fds(self, frame: Frame) -> list[int]:
        count = frame.get("fds", 0)
        if not isinstance(count, int) or count < 0 or count > len(self._fds):
            raise self._garbage(f"an answer announces {count!r} descriptors; {len(self._fds)} came")
        return [self._fds.popleft() for _ in range(count)]

    def _result(self, frame: Frame) -> dict[str, Any]:
        if isinstance(frame.get("error"), dict):
            raise from_wire(frame["error"])
        result = frame.get("ok")
        if not isinstance(result, dict):
            raise self._garbage(f"an answer holds neither ok nor error, but {sorted(frame)}")
        return result

    def _garbage(self, what: str) -> Broken:
        return Broken(
            GARBAGE,
            f"{self._path} does not speak as an agent does: {what}",
            "see which program listens there; after an upgrade, restart the agent or use its fleetctl",
        )

    def _closed(self, how: str) -> Unavailable:
        return Unavailable(
            CLOSED, f"the agent at {self._path} closed the connection {how}", "try again; see the agent's log"
        )

    def _timed_out(self, timeout_seconds: float | None) -> Unavailable:
        return Unavailable(
            TIMED_OUT,
            f"the agent at {self._path} did not answer within {timeout_seconds:g} s",
            "try a longer --timeout; if it stays silent, see the agent's log",
        )


_CLOEXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def _connect_patiently(sock: socket.socket, path: str, deadline: float) -> None:
    while True:
        try:
            _connect(sock, path)
            return
        except BlockingIOError:
            # So many knock at once that the kernel keeps no more of them waiting, nor us.
            if time.monotonic() > deadline:
                raise
            time.sleep(_FULL_PAUSE_SECONDS)


def _connect(sock: socket.socket, path: str) -> None:
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        sock.connect(path)
        return
    folder, name = os.path.split(path)
    folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{folder_fd}/{name}")
    finally:
        os.close(folder_fd)


def _why_not(path: str, error: OSError, timeout_seconds: float) -> FleetError:
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return Unavailable(
            NOT_FOUND,
            f"no agent runs here: there is no socket {path}",
            "start one with fleet-agent run -c FILE; if it runs elsewhere,"
            " name its place with --door, --state-dir or FLEET_STATE_DIR",
        )
    if error.errno == errno.ECONNREFUSED:
        return Unavailable(
            REFUSED,
            f"nobody answers at {path}: connection refused",
            "the agent has ended; start it with fleet-agent run -c FILE",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Denied(
            DENIED, f"{path} may not be opened: permission denied", "ask as root or as the agent's user"
        )
    if isinstance(error, TimeoutError) or error.errno == errno.EAGAIN:
        return Unavailable(
            TIMED_OUT,
            f"the agent at {path} did not take the connection within {timeout_seconds:g} s",
            "it is stuck or flooded with requests; see the agent's log",
        )
    return Broken(
        UNUSABLE, f"{path} cannot be connected: {error.strerror or error}", "name a socket with --door"
    )


def _left(deadline: float | None) -> float | None:
    """Seconds until `deadline`, never 0, which would mean non-blocking."""
    return None if deadline is None else max(0.001, deadline - time.monotonic())


def _close_all(fds: "deque[int] | list[int]") -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
