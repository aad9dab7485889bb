"""One client of the supervisor: a program at the local door, or the gateway.

A session turns frames into requests and answers into frames. What it does not know, what is malformed
and what fails is answered; what cannot be read any further ends the session and nothing else.
"""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from fleet_api.errors import BadRequest, Broken, FleetError
from fleet_api.frames import Frame

from fleet_agent.link.channel import Channel
from fleet_agent.supervisor.loop import Loop

MAX_UNREAD_BYTES = 1024 * 1024
"""No further request of a client is handled while so much waits for it to be read."""

MAX_QUEUED_BYTES = 32 * 1024 * 1024
"""A client that lets so much pile up (streams go on by themselves) is given up."""

MAX_QUEUED_FDS = 512
MAX_STREAMS = 1000
MAX_SHOWN = 80


class Handler(Protocol):
    """Who answers requests."""

    def handle(self, session: "Session", number: int, verb: str, arguments: Frame) -> None:
        """Answer one request, now or later.

        Raises: FleetError, which becomes the answer.
        """


class Session:
    """Owns one connection."""

    def __init__(
        self,
        loop: Loop,
        channel: Channel,
        actor: str,
        handler: Handler,
        on_end: Callable[["Session"], None],
        is_gateway: bool = False,
    ) -> None:
        self.actor = actor
        self.is_gateway = is_gateway
        self._loop = loop
        self._channel = channel
        self._handler = handler
        self._on_end = on_end
        self._streams: dict[int, Callable[[], None]] = {}
        self._inbox: deque[Frame] = deque()
        self._queued_fds = 0
        self._is_given_up = False
        self.is_open = True
        loop.watch(channel.fileno(), self._on_readable)

    def answer(self, number: int, ok: Frame, fds: Sequence[int] = ()) -> None:
        """The final answer of a request."""
        self._streams.pop(number, None)
        self._send({"id": number, "ok": ok}, fds)

    def fail(self, number: int, error: FleetError) -> None:
        """The final answer of a request that failed; a stream of this id ends with it."""
        cancel = self._streams.pop(number, None)
        if cancel is not None:
            cancel()
        self._send({"id": number, "error": error.to_wire()})

    def item(self, number: int, item: Frame, fds: Sequence[int] = ()) -> None:
        """One item of a stream."""
        self._send({"id": number, "item": item}, fds)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is owed: no stream is open and no answer outstanding."""
        return not self._streams and not self._channel.wants_write

    def begin_stream(self, number: int, cancel: Callable[[], None]) -> None:
        """Note that a request stays open; `cancel` is called when the client ends it or goes away.

        Raises: BadRequest when too many are open.
        """
        if len(self._streams) >= MAX_STREAMS:
            raise BadRequest("TOO_MANY_STREAMS", f"more than {MAX_STREAMS} streams in one session")
        self._streams[number] = cancel

    def close(self) -> None:
        """End the session; its streams are cancelled."""
        if not self.is_open:
            return
        self.is_open = False
        self._inbox.clear()
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        streams, self._streams = self._streams, {}
        for cancel in streams.values():
            cancel()
        self._on_end(self)

    # ------------------------------------------------------------------ out

    def _send(self, frame: Frame, fds: Sequence[int] = ()) -> None:
        if not self.is_open or self._is_given_up:
            return
        try:
            self._channel.send(frame, fds)
        except FleetError as error:
            # An answer that no frame can hold; whoever changed a process is not to hear of that.
            self.fail(frame["id"], error)
            return
        except OSError:
            self._give_up()
            return
        if not self._channel.wants_write:
            return
        self._queued_fds += len(fds)
        if self._channel.queued_bytes > MAX_QUEUED_BYTES or self._queued_fds > MAX_QUEUED_FDS:
            # A client that does not read must not fill the agent's memory, nor take all descriptors.
            self._give_up()
        else:
            self._loop.want_write(self._channel.fileno(), self._on_writable)

    def _give_up(self) -> None:
        # Whoever sends may be in the middle of a list of sessions.
        self._is_given_up = True
        self._loop.soon(self.close)

    def _on_writable(self) -> None:
        try:
            self._channel.flush()
        except OSError:
            self.close()
            return
        if not self._channel.wants_write:
            self._queued_fds = 0
            self._loop.want_write(self._channel.fileno(), None)
        self._handle_waiting()

    # ------------------------------------------------------------------ in

    def _on_readable(self) -> None:
        try:
            received = self._channel.receive()
        except (FleetError, OSError) as error:
            if isinstance(error, FleetError):
                self._send({"id": 0, "error": error.to_wire()})
            self.close()
            return
        if received is None:
            self.close()
            return
        for message in received:
            message.close()  # no request brings descriptors
            self._inbox.append(message.frame)
        self._handle_waiting()

    def _handle_waiting(self) -> None:
        """Handle the requests that have come, as long as the client reads the answers."""
        while self._inbox and self._channel.queued_bytes <= MAX_UNREAD_BYTES and not self._is_given_up:
            self._handle(self._inbox.popleft())
        if self.is_open:
            self._loop.pause(self._channel.fileno(), bool(self._inbox))

    def _handle(self, frame: Frame) -> None:
        number, verb = frame.get("id"), frame.get("do")
        answered = number if type(number) is int else 0
        try:
            if type(number) is not int or not isinstance(verb, str):
                raise BadRequest(
                    "BAD_REQUEST", f"a request needs a number `id` and a word `do`: {shown(frame)}"
                )
            if verb == "cancel":
                self._cancel(number)
            elif number in self._streams:
                raise BadRequest("ID_IN_USE", f"the request id {number} belongs to an open stream")
            else:
                self._handler.handle(self, number, verb, frame)
        except FleetError as error:
            self.fail(answered, error)
        except Exception as error:
            # A bug in one answer must not end supervision; its story belongs on stderr.
            sys.excepthook(type(error), error, error.__traceback__)
            words = f"{shown(verb)}: {type(error).__name__}: {error}"
            self.fail(answered, Broken("INTERNAL", words, "a bug of the agent: please report it"))

    def _cancel(self, number: int) -> None:
        cancel = self._streams.pop(number, None)
        if cancel is not None:
            cancel()
            self.answer(number, {})


def shown(value: object) -> str:
    """A value of a request as a message shows it: not all of it when it is long."""
    words = value if isinstance(value, str) else repr(value)
    return words if len(words) <= MAX_SHOWN else words[:MAX_SHOWN] + "…"


def text(arguments: dict[str, Any], key: str, default: str = "") -> str:
    """A text argument of a request.

    Raises: BadRequest when it is something else.
    """
    value = arguments.get(key, default)
    if not isinstance(value, str):
        raise BadRequest("BAD_ARGUMENT", f"`{key}` is {shown(value)}; a text is expected")
    return value


def texts(arguments: dict[str, Any], key: str) -> list[str]:
    """A list of texts.

    Raises: BadRequest when it is something else.
    """
    value = arguments.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest("BAD_ARGUMENT", f"`{key}` is {shown(value)}; a list of texts is expected")
    return value


def flag(arguments: dict[str, Any], key: str, default: bool) -> bool:
    """A true or false of a request.

    Raises: BadRequest when it is something else.
    """
    value = arguments.get(key, default)
    if not isinstance(value, bool):
        raise BadRequest("BAD_ARGUMENT", f"`{key}` is {shown(value)}; true or false is expected")
    return value
