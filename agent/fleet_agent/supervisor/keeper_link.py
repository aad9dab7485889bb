"""The supervisor's end of the link to the keeper: messages out, messages in."""

import socket
from collections.abc import Callable, Sequence

from fleet_api.errors import FleetError

from fleet_agent.link.channel import Channel
from fleet_agent.link.messages import Message, ToKeeper, from_frame, to_frame
from fleet_agent.supervisor.loop import Loop


class KeeperLink:
    """Owns the link; when it ends, `on_end` is told, since nothing can be done without a keeper."""

    def __init__(
        self,
        loop: Loop,
        link_fd: int,
        on_message: Callable[[Message, list[int]], None],
        on_end: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._channel = Channel(socket.socket(fileno=link_fd))
        self._on_message = on_message
        self._on_end = on_end
        loop.watch(self._channel.fileno(), self._on_readable)

    def send(self, message: ToKeeper, fds: Sequence[int] = ()) -> None:
        """Queue a message; its descriptors stay the caller's."""
        try:
            self._channel.send(to_frame(message), fds)
        except OSError as error:
            self._end(f"the keeper's link broke: {error.strerror}")
            return
        if self._channel.wants_write:
            self._loop.want_write(self._channel.fileno(), self._on_writable)

    def _end(self, reason: str) -> None:
        self._loop.soon(lambda: self._on_end(reason))

    def _on_writable(self) -> None:
        try:
            self._channel.flush()
        except OSError as error:
            self._end(f"the keeper's link broke: {error.strerror}")
            return
        if not self._channel.wants_write:
            self._loop.want_write(self._channel.fileno(), None)

    def _on_readable(self) -> None:
        try:
            received = self._channel.receive()
        except (FleetError, OSError) as error:
            self._end(f"the keeper's link broke: {error}")
            return
        if received is None:
            self._loop.forget(self._channel.fileno())
            self._end("the keeper is gone")
            return
        for item in received:
            message = from_frame(item.frame)
            if message is None:
                item.close()
            else:
                self._on_message(message, item.fds)
