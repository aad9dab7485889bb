"""One client of the supervisor: a program at the local door, or the gateway.

A session turns frames into requests and answers into frames. What it does not know, what is malformed
and what fails is answered; what cannot be read any further ends the session and nothing else.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from fleet_api.errors import BadRequest, Broken, FleetError
from fleet_api.frames import Frame

from fleet_agent.link.channel import Channel
from fleet_agent.supervisor.loop import Loop

MAX_QUEUED_BYTES = 32 * 1024 * 1024
MAX_STREAMS = 1000


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
        self.is_open = True
        loop.watch(channel.fileno(), self._on_readable)

    def answer(self, number: int, ok: Frame, fds: Sequence[int] = ()) -> None:
        """The final answer of a request."""
        self._streams.pop(number, None)
        self._send({"id": number, "ok": ok}, fds)

    def fail(self, number: int, error: FleetError) -> None:
        """The final answer of a request that failed."""
        self._streams.pop(number, None)
        self._send({"id": number, "error": error.to_wire()})

    def item(self, number: int, item: Frame, fds: Sequence[int] = ()) -> None:
        """One item of a stream."""
        self._send({"id": number, "item": item}, fds)

    def begin_stream(self, number: int, cancel: Callable[[], None]) -> None:
        """Note that a request stays open; `cancel` is called when the client ends it or goes away."""
        if len(self._streams) >= MAX_STREAMS:
            raise BadRequest("TOO_MANY_STREAMS", f"more than {MAX_STREAMS} streams in one session")
        self._streams[number] = cancel

    def close(self) -> None:
        """End the session; its streams are cancelled."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.forget(self._channel.fileno())
        self._channel.close()
        streams, self._streams = self._streams, {}
        for cancel in streams.values():
            cancel()
        self._on_end(self)

    def _send(self, frame: Frame, fds: Sequence[int] = ()) -> None:
        if not self.is_open:
            return
        try:
            self._channel.send(frame, fds)
        except OSError:
            self._loop.soon(self.close)
            return
        if self._channel.queued_bytes > MAX_QUEUED_BYTES:
            # A client that does not read must not fill the agent's memory.
            self._loop.soon(self.close)
        elif self._channel.wants_write:
            self._loop.want_write(self._channel.fileno(), self._on_writable)

    def _on_writable(self) -> None:
        try:
            self._channel.flush()
        except OSError:
            self.close()
            return
        if not self._channel.wants_write:
            self._loop.want_write(self._channel.fileno(), None)

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
            self._handle(message.frame)

    def _handle(self, frame: Frame) -> None:
        number, verb = frame.get("id"), frame.get("do")
        if not isinstance(number, int) or not isinstance(verb, str):
            error = BadRequest(
                "BAD_REQUEST", f"a request needs a number `id` and a word `do`: {str(frame)[:120]}"
            )
            self.fail(number if isinstance(number, int) else 0, error)
            return
        try:
            if verb == "cancel":
                self._cancel(number)
            elif number in self._streams:
                raise BadRequest("ID_IN_USE", f"the request id {number} belongs to an open stream")
            else:
                self._handler.handle(self, number, verb, frame)
        except FleetError as error:
            self.fail(number, error)
        except Exception as error:
            # A bug in one answer must not end supervision; its story belongs on stderr.
            sys.excepthook(type(error), error, error.__traceback__)
            words = f"{verb}: {type(error).__name__}: {error}"
            self.fail(number, Broken("INTERNAL", words, "a bug of the agent: please report it"))

    def _cancel(self, number: int) -> None:
        cancel = self._streams.pop(number, None)
        if cancel is not None:
            cancel()
            self.answer(number, {})


def text(arguments: dict[str, Any], key: str, default: str = "") -> str:
    """A text argument of a request.

    Raises: BadRequest when it is something else.
    """
    value = arguments.get(key, default)
    if not isinstance(value, str):
        raise BadRequest("BAD_ARGUMENT", f"`{key}` is {value!r}; a text is expected")
    return value


def texts(arguments: dict[str, Any], key: str) -> list[str]:
    """A list of texts.

    Raises: BadRequest when it is something else.
    """
    value = arguments.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest("BAD_ARGUMENT", f"`{key}` is {str(value)[:80]}; a list of texts is expected")
    return value
