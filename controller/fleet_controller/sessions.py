"""The agents' side: one session for each host of the inventory.

Built by `main`, which hands over each new inventory; `dispatch` and `relay` ask it for open channels.
"""

import asyncio
from collections.abc import Callable

from fleet_api.credentials import Credentials
from fleet_api.errors import Unavailable

from fleet_controller.config import Config
from fleet_controller.log import Log
from fleet_controller.model import Inventory
from fleet_controller.session import Session, Shared, Stub
from fleet_controller.state import FleetState


class Sessions:
    """All sessions; `run` owns their tasks."""

    def __init__(
        self,
        state: FleetState,
        credentials: Credentials | None,
        config: Config,
        dice: Callable[[], float],
        log: Log,
    ) -> None:
        self._state = state
        self._config = config
        self._log = log
        self._shared = Shared(
            state,
            credentials,
            config,
            dice,
            log,
            asyncio.Semaphore(config.max_connecting),
            asyncio.Semaphore(config.max_connecting),
        )
        self._sessions: dict[str, tuple[Session, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self, is_ready: asyncio.Event) -> None:
        """Hold the sessions' tasks until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            is_ready.set()
            await asyncio.Event().wait()

    def adopt(self, inventory: Inventory) -> None:
        """Dial what is new, leave what is gone, dial anew what moved."""
        assert self._tasks is not None, "run() comes first"
        change = self._state.adopt(inventory)
        for name in (*change.removed, *change.moved):
            self._sessions.pop(name)[1].cancel()
        for name in (*change.added, *change.moved):
            session = Session(inventory.hosts[name], self._shared, self._tasks)
            self._sessions[name] = session, self._tasks.create_task(session.run(), name=f"session {name}")
        self._log.info(
            "inventory read",
            hosts=len(inventory.hosts),
            added=len(change.added),
            removed=len(change.removed),
            moved=len(change.moved),
            relabelled=len(change.relabelled),
        )

    async def wait_for_stub(self, name: str, seconds: float) -> Stub:
        """The open connection to a host, waited for at most `seconds`.

        Raises: as `Session.wait_for_stub`; Unavailable HOST_REMOVED when it left the inventory.
        """
        entry = self._sessions.get(name)
        if entry is None:
            raise Unavailable("HOST_REMOVED", f"{name} has left the inventory", "`fleetctl hosts` lists it")
        return await entry[0].wait_for_stub(min(seconds, self._config.connect_timeout))
