"""What is known of the fleet, in memory: one view a host, changed by facts, awaited by readers.

Sessions put facts in, `service` and `dispatch` read and wait. All on one event loop: no locks.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeAlias

from fleet_api.v1 import types_pb2

from fleet_controller.core import fleet, reconcile
from fleet_controller.model import Host, Inventory, Moment

ProcessView: TypeAlias = fleet.View[types_pb2.Process]
ProcessFact: TypeAlias = fleet.Fact[types_pb2.Process]

Clock = Callable[[], Moment]


class Pulse:
    """Wakes all who wait, each time something changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def beat(self) -> None:
        """Something changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        """Wait for the next change; False when none came in this time."""
        event = self._event
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await event.wait()
        except TimeoutError:
            return False
        return True


class FleetState:
    """The inventory and one view for each of its hosts."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.inventory = Inventory()
        self._views: dict[str, ProcessView] = {}
        self._pulse = Pulse()

    def adopt(self, inventory: Inventory) -> reconcile.Change:
        """Take a new inventory; hosts that stay keep what is known of them."""
        change = reconcile.diff(self.inventory, inventory)
        self.inventory = inventory
        for name in (*change.removed, *change.moved):
            self._views.pop(name, None)
        for name in (*change.added, *change.moved):
            self._views[name] = fleet.View()
        self._pulse.beat()
        return change

    def host(self, name: str) -> Host | None:
        """The host of this name, None when the inventory does not hold it (any more)."""
        return self.inventory.hosts.get(name)

    def view(self, name: str) -> ProcessView:
        """What is known of a host; nothing for one that has left the inventory."""
        return self._views.get(name) or fleet.View()

    def apply(self, name: str, fact: ProcessFact) -> str:
        """Take a fact in; returns why the host must be read anew, or nothing."""
        if name not in self._views:
            return ""
        step = fleet.fold(self._views[name], fact, self.clock())
        self._views[name] = fleet.forget(step.view) if step.resync else step.view
        self._pulse.beat()
        return step.resync

    async def each_when(
        self, names: Iterable[str], seconds_left: Callable[[str], float]
    ) -> AsyncIterator[str]:
        """Yield each host once, as soon as `seconds_left` says 0 or less of it.

        It is asked again after each change and when its shortest answer is over.
        """
        waiting = list(names)
        while waiting:
            left = {name: seconds_left(name) for name in waiting}
            ready = [name for name in waiting if left[name] <= 0]
            for name in ready:
                yield name
            waiting = [name for name in waiting if left[name] > 0]
            if waiting and not ready:
                await self._pulse.wait(min(left[name] for name in waiting))
