"""Keeps the copy true: follows the supervisor's changes over the link and hands them to every watcher.

Run by `main`; `service` waits here for a position, `watch` subscribes here.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import cast

from fleet_api.errors import FleetError
from fleet_api.frames import Frame
from fleet_api.rows import EventRow, PositionRow, ProcessRow
from fleet_api.v1 import agent_pb2

from fleet_agent.gateway.copy import Copy
from fleet_agent.gateway.link import Link, close_fds

MAX_WAITING_EVENTS = 5_000
ASK_AGAIN_SECONDS = 0.5

log = logging.getLogger(__name__)


class Subscription:
    """The changes that wait for one watcher; `gap` tells, in words, that some were dropped."""

    def __init__(self, sent: int, limit: int = MAX_WAITING_EVENTS) -> None:
        self.sent = sent
        """Sequence of the last change that the watcher has got."""
        self._limit = limit
        self._messages: deque[agent_pb2.WatchResponse] = deque()
        self._news = asyncio.Event()
        self.gap = ""
        self.is_ended = False

    def offer(self, message: agent_pb2.WatchResponse) -> None:
        """Add one change, or drop all when the watcher is too slow."""
        if self.gap:
            return
        if len(self._messages) >= self._limit:
            self.interrupt(f"the watcher was more than {self._limit} changes behind")
            return
        self._messages.append(message)
        self._news.set()

    def interrupt(self, reason: str) -> None:
        """Drop all: the watcher needs a new snapshot."""
        self._messages.clear()
        self.gap = reason
        self._news.set()

    def end(self) -> None:
        """No more changes will come."""
        self.is_ended = True
        self._news.set()

    def restart(self, sequence: int) -> None:
        """The watcher takes a snapshot as of `sequence` now: what comes from here on follows it."""
        self._messages.clear()
        self.gap = ""
        self.sent = sequence

    def pop(self) -> agent_pb2.WatchResponse | None:
        """The next change, if one waits."""
        if not self._messages:
            return None
        message = self._messages.popleft()
        self.sent = message.event.sequence
        return message

    async def wait(self, timeout_seconds: float) -> None:
        """Return when a change, a gap or the end is here, or after `timeout_seconds`."""
        if self._messages or self.gap or self.is_ended:
            return
        self._news.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_seconds)):
                await self._news.wait()


class Feed:
    """One watch stream to the supervisor, fanned out."""

    def __init__(self, link: Link, copy: Copy, monotonic: Callable[[], float]) -> None:
        self._link = link
        self._copy = copy
        self._monotonic = monotonic
        self._staged: list[ProcessRow] | None = None
        self._gap = ""
        self._subscriptions: set[Subscription] = set()
        self._waiters: dict[asyncio.Future[None], int] = {}

    async def run(self) -> None:
        """Follow until the link ends."""
        while self._link.is_open:
            self._staged = None
            after = self._copy.position if self._copy.is_filled else None
            try:
                async with self._link.stream("watch", after=after) as items:
                    async for item in items:
                        close_fds(item.fds)
                        self._take(item.body)
            except FleetError as error:
                if self._link.is_open:
                    log.warning("the supervisor ended the stream of changes: %s", error)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                log.warning("the supervisor told a change that cannot be read: %r", error)
                self._copy.is_filled = False
            if self._link.is_open:
                await asyncio.sleep(ASK_AGAIN_SECONDS)
        for subscription in self._subscriptions:
            subscription.end()

    @contextlib.contextmanager
    def subscribed(self) -> Iterator[Subscription]:
        """A subscription that holds each change from now on."""
        subscription = Subscription(self._copy.sequence)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    async def wait_until_filled(self, timeout_seconds: float) -> bool:
        """Wait for the first snapshot; False when it does not come within `timeout_seconds`."""
        return await self._wait_for_sequence(0, timeout_seconds)

    async def wait_for(self, position: PositionRow, timeout_seconds: float) -> bool:
        """Wait until the copy contains `position`; False when it does not within `timeout_seconds`."""
        if position["incarnation"] != self._copy.incarnation:
            return False
        return await self._wait_for_sequence(position["sequence"], timeout_seconds)

    async def _wait_for_sequence(self, sequence: int, timeout_seconds: float) -> bool:
        if self._copy.is_filled and self._copy.sequence >= sequence:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[future] = sequence
        try:
            async with asyncio.timeout(timeout_seconds):
                await future
        except TimeoutError:
            return False
        finally:
            del self._waiters[future]
        return True

    def _take(self, item: Frame) -> None:
        if "event" in item:
            self._take_event(cast(EventRow, item["event"]))
        elif "snapshot" in item:
            self._take_snapshot(item)
        elif "gap" in item:
            self._staged = None
            self._gap = str(item["gap"]["reason"])

    def _take_event(self, event: EventRow) -> None:
        if event["sequence"] > self._copy.sequence + 1:
            raise ValueError(f"change {event['sequence']} follows {self._copy.sequence}")
        message = self._copy.apply(event, self._monotonic())
        if message is None:
            return
        self._wake()
        if not self._subscriptions:
            return
        response = agent_pb2.WatchResponse(event=message)
        for subscription in self._subscriptions:
            subscription.offer(response)

    def _take_snapshot(self, item: Frame) -> None:
        staged = self._staged if self._staged is not None else []
        staged += item["snapshot"]
        self._staged = staged
        if not item.get("last", True):
            return
        self._staged = None
        self._copy.replace(staged, item["position"], self._monotonic())
        for subscription in self._subscriptions:
            subscription.interrupt(self._gap or "the agent's own history was interrupted")
        self._gap = ""
        self._wake()

    def _wake(self) -> None:
        if not self._waiters:
            return
        for future, sequence in self._waiters.items():
            if sequence <= self._copy.sequence and not future.done():
                future.set_result(None)
