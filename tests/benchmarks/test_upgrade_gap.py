"""A caller repeats what was cut off, once; every other answer than the right one counts against the agent."""

import time
from typing import Any, Self

import pytest
from fleet_api.errors import Broken, FleetError, Unavailable
from upgrade_gap import SIZE, Caller


class Fleet:
    """An agent of which each door gives the next of these answers, and from then on the right one."""

    def __init__(self, answers: list[FleetError]) -> None:
        self.answers = answers

    def door(self) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, do: str, **_: Any) -> dict[str, Any]:
        assert do == "status"
        if self.answers:
            raise self.answers.pop(0)
        return {"processes": [{}] * SIZE}


CUT = Unavailable("DOOR_CLOSED", "cut off")
BROKEN = Broken("DOOR_GARBAGE", "garbage")


@pytest.mark.parametrize(
    ("answers", "failures"), [([], 0), ([CUT], 0), ([CUT, CUT], 1), ([BROKEN], 1), ([CUT, BROKEN], 1)]
)
def test_failures_are_counted(answers: list[FleetError], failures: int) -> None:
    fleet = Fleet(list(answers))
    with Caller(fleet) as caller:  # type: ignore[arg-type]
        deadline = time.monotonic() + 10
        while len(caller.waits) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(caller.failures) == failures
    assert len(caller.waits) >= 3
