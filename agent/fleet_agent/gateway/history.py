"""Changes that the copy no longer holds, read from the supervisor's journal. Called by `watch`."""

import asyncio
from collections.abc import AsyncIterator

from fleet_api import wire
from fleet_api.errors import FleetError
from fleet_api.rows import PositionRow
from fleet_api.v1 import types_pb2

from fleet_agent.gateway.link import Link, close_fds

TIMEOUT_SECONDS = 5.0
"""From one change to the next."""


class History:
    """The changes of an incarnation from `last` until a position; `gap` tells why some are missing."""

    def __init__(self, until: PositionRow, last: int, incarnation: str) -> None:
        self._until = until
        self._incarnation = incarnation
        self.last = last
        """Number of the last change that was read."""
        self.gap = ""

    async def read(self, link: Link) -> AsyncIterator[types_pb2.ProcessEvent]:
        """The changes in order, none missing between two of them; what follows a gap is not read."""
        after = {**self._until, "incarnation": self._incarnation, "sequence": self.last}
        self.gap = "the supervisor did not tell in time"
        try:
            async with link.stream("watch", after=after) as items:
                while True:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        item = await anext(items)
                    close_fds(item.fds)
                    event = item.body.get("event")
                    if event is None:
                        self.gap = str(item.body["gap"]["reason"])
                        return
                    message = wire.event_to_proto(event)
                    if message.sequence != self.last + 1:
                        self.gap = f"change {message.sequence} follows {self.last}"
                        return
                    yield message
                    self.last = message.sequence
                    # What comes after that waits for the watcher already.
                    if self.last >= self._until["sequence"]:
                        self.gap = ""
                        return
        except (TimeoutError, StopAsyncIteration):
            return
        except (FleetError, LookupError, TypeError, ValueError, AttributeError) as error:
            self.gap = f"the supervisor's changes cannot be read: {error}"
