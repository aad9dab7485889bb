"""How long ago the supervisor answered, and what it said: a ping each second, while somebody wants to know.

Run by `main`; heartbeats and the health service read it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from fleet_api import wire
from fleet_api.errors import FleetError
from fleet_api.frames import Frame
from fleet_api.v1 import types_pb2

PING_SECONDS = 1.0
DEAD_SECONDS = 5.0


class Pulse:
    """The age of the supervisor's last answer. `ping` waits for one answer, however long it takes.

    `troubles` are those that it told last.
    """

    def __init__(self, ping: Callable[[], Awaitable[Frame]], monotonic: Callable[[], float]) -> None:
        self.troubles: list[types_pb2.Trouble] = []
        self._keeper_owes = 0.0
        self._ping = ping
        self._monotonic = monotonic
        self._answered = monotonic()
        self._listeners = 0
        self._wanted = asyncio.Event()
        self._heard = asyncio.Condition()

    @property
    def age(self) -> float:
        """Seconds since the last answer; grows without bound while nobody listens."""
        return max(0.0, self._monotonic() - self._answered)

    @property
    def keeper_age(self) -> float:
        """Seconds since the keeper is known to have answered the supervisor."""
        return self.age + self._keeper_owes

    @property
    def is_alive(self) -> bool:
        """Whether the supervisor answered lately."""
        return self.age <= DEAD_SECONDS

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Ping while this lasts."""
        self._listeners += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self._wanted.clear()

    async def check(self, timeout_seconds: float) -> bool:
        """Whether the supervisor is alive, after a fresh answer or `timeout_seconds`."""
        with self.listening(), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds), self._heard:
                await self._heard.wait_for(lambda: self.age <= PING_SECONDS)
        return self.is_alive

    async def run(self) -> None:
        """Ping until cancelled; never two pings at once."""
        while True:
            await self._wanted.wait()
            with contextlib.suppress(FleetError):
                self._take(await self._ping())
                self._answered = self._monotonic()
            async with self._heard:
                self._heard.notify_all()
            await asyncio.sleep(PING_SECONDS)

    def _take(self, answer: Frame) -> None:
        # What cannot be read is not known; that there was an answer counts.
        try:
            self._keeper_owes = float(answer.get("keeper_owes", 0.0))
            self.troubles = [wire.trouble_to_proto(row) for row in answer.get("troubles", ())]
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            self.troubles = []
