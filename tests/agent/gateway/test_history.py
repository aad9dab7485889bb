"""Changes from the supervisor's journal: in order, none passed over, and why where some are missing."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self, cast

import pytest
from fakes.supervisor import make_row
from fleet_agent.gateway import history as room
from fleet_agent.gateway.history import History
from fleet_agent.gateway.link import Item, Link
from fleet_api.errors import Unavailable
from fleet_api.rows import PositionRow

UNTIL = PositionRow(agent_id="a", incarnation="i", sequence=7)


class FakeLink:
    """Answers a watch with these items, then ends it as told."""

    def __init__(self, items: Iterable[dict[str, Any]], end: Exception | None = None) -> None:
        self._items = list(items)
        self._end = end
        self.after: object = None

    def stream(self, do: str, after: object) -> Self:
        assert do == "watch"
        self.after = after
        return self

    async def __aenter__(self) -> AsyncIterator[Item]:
        return self._all()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    async def _all(self) -> AsyncIterator[Item]:
        for item in self._items:
            yield Item(item, [])
        if self._end is not None:
            raise self._end


def event(sequence: int) -> dict[str, Any]:
    return {
        "event": {
            "sequence": sequence,
            "time": 1.0,
            "old_state": "RUNNING",
            "reason": "",
            "process": make_row("web"),
            "removed": False,
        }
    }


def read(link: FakeLink, last: int = 4) -> tuple[list[int], History]:
    history = History(UNTIL, last, "i")

    async def run() -> list[int]:
        return [message.sequence async for message in history.read(cast(Link, link))]

    return asyncio.run(run()), history


def test_it_ends_where_the_copy_goes_on() -> None:
    link = FakeLink(map(event, range(5, 12)))
    numbers, history = read(link)
    assert (numbers, history.gap, history.last) == ([5, 6, 7], "", 7)
    assert link.after == {"agent_id": "a", "incarnation": "i", "sequence": 4}


@pytest.mark.parametrize(
    ("items", "end", "numbers", "words"),
    [
        ([{"gap": {"reason": "the host was booted"}}], None, [], "the host was booted"),
        ([event(5), {"gap": {"reason": "damaged"}}], None, [5], "damaged"),
        ([event(5), event(7)], None, [5], "change 7 follows 5"),
        ([event(5)], None, [5], "in time"),
        ([event(5), {"event": {"sequence": 6}}], None, [5], "cannot be read"),
        ([{"snapshot": []}], None, [], "cannot be read"),
        ([], Unavailable("SUPERVISOR_GONE", "it has gone"), [], "it has gone"),
    ],
)
def test_what_is_missing_is_told(
    items: list[dict[str, Any]], end: Exception | None, numbers: list[int], words: str
) -> None:
    found, history = read(FakeLink(items, end))
    assert found == numbers
    assert words in history.gap
    assert history.last == (numbers[-1] if numbers else 4)


def test_a_silent_supervisor_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "TIMEOUT_SECONDS", 0.01)

    class Silent(FakeLink):
        async def _all(self) -> AsyncIterator[Item]:
            await asyncio.Event().wait()
            yield Item({}, [])

    numbers, history = read(Silent([]))
    assert (numbers, history.gap) == ([], "the supervisor did not tell in time")
