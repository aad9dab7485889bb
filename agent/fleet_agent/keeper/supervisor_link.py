"""The keeper's end of its link to one supervisor: introduction first, then messages both ways.

Owned by the keeper's loop, which opens one for each supervisor that it starts.
"""

import select
import socket
from collections import deque
from collections.abc import Iterable, Sequence

from fleet_api.errors import BadRequest

from fleet_agent.keeper.holding import Holding
from fleet_agent.keeper.run_records import Run
from fleet_agent.link import messages
from fleet_agent.link.channel import Channel, Received


class SupervisorLink:
    """A link from its Hello on; `failure` says why it is good for nothing any more, `is_ended` that
    the supervisor gave it up."""

    def __init__(
        self,
        sock: socket.socket,
        epoll: select.epoll,
        hello: messages.Hello,
        kept: Iterable[tuple[messages.Kept, int]],
        holding: Holding,
    ) -> None:
        self._channel = Channel(sock)
        self._epoll = epoll
        self._holding = holding
        self._watched = select.EPOLLIN
        self._untold: deque[Run] | None = deque(holding)
        self._told_later: list[messages.ToSupervisor] = []
        self._inbox: deque[Received] = deque()
        self.failure = ""
        self.is_ended = False
        for run in self._untold:
            run.is_told = False
        epoll.register(sock.fileno(), self._watched)
        self._send(hello)
        for message, fd in kept:
            self._send(message, [fd])
        self.go_on()

    def fileno(self) -> int:
        """The descriptor of the socket."""
        return self._channel.fileno()

    @property
    def has_waiting(self) -> bool:
        """Whether messages have been read and not handled."""
        return bool(self._inbox)

    def tell(self, message: messages.ToSupervisor, fds: Sequence[int] = ()) -> None:
        """Send a message, after the introduction."""
        if self._untold is None:
            self._send(message, fds)
        else:
            self._told_later.append(message)

    def go_on(self) -> None:
        """Write what waits and go on with the introduction, as far as the supervisor reads.

        Introductions are not queued: each would hold copies of its descriptors.
        """
        self._channel.flush()
        while self._untold is not None and not self._channel.wants_write and not self.failure:
            if self._untold:
                run = self._untold.popleft()
                run.is_told = True
                with self._holding.lent(run) as ends:
                    self._send(run.to_child(), ends)
                continue
            self._untold = None
            self._send(messages.Begin())
            later, self._told_later = self._told_later, []
            for message in later:
                self._send(message)
        self._watch()

    def next_message(self) -> Received | None:
        """The next message that waits or can be read; none comes before the introduction is over."""
        if not self._inbox and self._untold is None and not (self.failure or self.is_ended):
            self._read()
        return self._inbox.popleft() if self._inbox else None

    def last_messages(self) -> Iterable[Received]:
        """All that a supervisor which is gone has left."""
        self._untold = None
        while (received := self.next_message()) is not None:
            yield received

    def close(self) -> None:
        """Give the link up, and what was not handled."""
        self.is_ended = True
        self._epoll.unregister(self._channel.fileno())
        self._channel.close()
        while self._inbox:
            self._inbox.popleft().close()

    def _send(self, message: messages.ToSupervisor, fds: Sequence[int] = ()) -> None:
        try:
            self._channel.send(messages.to_frame(message), fds)
        except (OSError, BadRequest, MemoryError) as error:
            # The next one is told of all there is.
            self.failure = f"cannot tell it of {type(message).__name__}: {error}"

    def _read(self) -> None:
        try:
            received = self._channel.receive()
        except BadRequest as error:
            self.failure = f"its link brings garbage: {error}"
            return
        if received is None:
            self.is_ended = True
        else:
            self._inbox.extend(received)

    def _watch(self) -> None:
        events = select.EPOLLIN if self._untold is None else 0
        if self._channel.wants_write:
            events |= select.EPOLLOUT
        if events != self._watched:
            self._watched = events
            self._epoll.modify(self._channel.fileno(), events)
