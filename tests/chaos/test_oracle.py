"""The judge of chaos sees what is wrong, and does not see what is not."""

from typing import Any

import pytest
from chaos import oracle
from chaos.oracle import Deeds, Gap
from chaos.records import Record

pytestmark = pytest.mark.pure

INFINITY = float("inf")
LIVES = Record("p", 0, 70, 1, 3, 0, 0, None, None, 0, 10.0, 20.0, True, INFINITY)
ENDED = LIVES._replace(code=3, is_alive=False, gone_by=20.5)
CUT_OFF = LIVES._replace(is_alive=False, gone_by=20.5)
IN_THE_GAP = Deeds(gaps=[Gap(19.9, 20.2)])
LATER = Deeds(gaps=[Gap(30.0, 31.0)])
STOPPED = Deeds(stops={"p": [(19.0, 20.4)]})
LOG = "p 0 1 0\np 0 1 1\np 0 1 2\n"


def event(
    old: str, new: str, pid: int = 0, code: int | None = None, signal: int | None = None
) -> dict[str, Any]:
    end = {"code": code, "signal": signal} if new in ("EXITED", "STOPPED", "BACKOFF") else None
    return {"old_state": old, "process": {"name": "p", "state": new, "pid": pid, "run": 5, "exit": end}}


BORN = event("STARTING", "RUNNING", 70)
DIED = event("RUNNING", "EXITED", code=3)
STOPPED_TREE = [event("EXITED", "STOPPING"), event("STOPPING", "STOPPED", code=3)]


def test_two_copies_are_seen_while_they_live_and_afterwards() -> None:
    second = LIVES._replace(number=1, pid=71, first=19.0)
    assert oracle.copies([LIVES, second])
    assert oracle.copies([ENDED, second])
    assert not oracle.copies([ENDED, second._replace(first=20.1)])
    assert not oracle.copies([LIVES, second._replace(process="p+")]), "a descendant is no copy"


@pytest.mark.parametrize(
    ("record", "deeds", "is_harm"),
    [
        (LIVES, Deeds(), False),
        (LIVES._replace(failed=32), Deeds(), True),
        (LIVES._replace(terms=1), Deeds(), True),
        (LIVES._replace(terms=1), STOPPED, False),
        (ENDED, Deeds(), False),
        (CUT_OFF, Deeds(), True),
        (CUT_OFF, IN_THE_GAP, True),
        (CUT_OFF, Deeds(killed={70: 20.0}), False),
        (CUT_OFF, STOPPED, False),
        (CUT_OFF, Deeds(stops={"p": [(2.0, 9.0)]}), True),
        (CUT_OFF, Deeds(stops={"p": [(21.0, 22.0)]}), True),
    ],
)
def test_harm_is_an_end_without_a_reason(record: Record, deeds: Deeds, is_harm: bool) -> None:
    assert bool(oracle.harm([record], deeds)) is is_harm


@pytest.mark.parametrize(
    "log",
    [
        LOG.replace("p 0 1 1\n", ""),
        LOG + "p 0 1 2\n",
        "p 0 1 1\np 0 1 0\np 0 1 2\n",
        LOG.replace("p 0 1 1", "p 0 1"),
        LOG.replace("p 0 1 1", "p 0 p 0 1 1"),
        LOG + "p 0 1 3\np 0 1 4\n",
        "p 0 1 0\np 0 1 1\n",
        "",
    ],
)
def test_a_log_that_is_not_whole_is_seen(log: str) -> None:
    assert oracle.lines("p", log, 1, [ENDED], LATER, True)


@pytest.mark.parametrize(
    ("log", "record", "deeds"),
    [
        (LOG, ENDED, LATER),
        (LOG, LIVES, LATER),
        (LOG + "p 0 1 3\n", CUT_OFF, LATER),
        (LOG + "p 0 1 3\np 0 1 4\n", LIVES, LATER),
        ("p 0 1 0\np 0 1 1\n", ENDED, IN_THE_GAP),
        (LOG + "p 0 2 0\n", ENDED, LATER),
    ],
)
def test_a_log_that_is_whole_passes(log: str, record: Record, deeds: Deeds) -> None:
    assert not oracle.lines("p", log, 1, [record], deeds, False)


def test_what_belongs_to_no_run_is_seen_at_the_end() -> None:
    assert oracle.lines("p", LOG + "p 9 1 0\n", 1, [ENDED], LATER, True)
    assert oracle.lines("p", LOG + "p 0", 1, [ENDED], LATER, True)
    assert not oracle.lines("p", LOG + "p 0", 1, [LIVES], LATER, False), "it is on its way"


@pytest.mark.parametrize(
    ("record", "events", "deeds", "is_wrong"),
    [
        (ENDED, [BORN, event("RUNNING", "EXITED", code=3)], LATER, False),
        (ENDED, [BORN, event("RUNNING", "EXITED", code=0)], LATER, True),
        (ENDED, [BORN, event("RUNNING", "EXITED", signal=9)], LATER, False),
        (ENDED, [BORN, event("RUNNING", "EXITED")], LATER, True),
        (ENDED, [BORN, event("RUNNING", "EXITED")], IN_THE_GAP, False),
        (ENDED, [BORN, event("RUNNING", "EXITED", code=0)], IN_THE_GAP, True),
        (ENDED, [BORN], LATER, True),
        (ENDED, [], LATER, True),
        (ENDED, [], IN_THE_GAP, False),
        (
            ENDED,
            [BORN, event("RUNNING", "EXITED", code=3), event("STARTING", "BACKOFF", code=3)],
            LATER,
            True,
        ),
        (ENDED, [BORN, DIED, *STOPPED_TREE], LATER, False),
        (ENDED, [BORN, DIED, *STOPPED_TREE, STOPPED_TREE[1]], LATER, True),
        (ENDED, [BORN, DIED, STOPPED_TREE[1]], LATER, True),
        (CUT_OFF, [BORN, event("STOPPING", "STOPPED", signal=9)], LATER, False),
        (CUT_OFF, [BORN, event("STOPPING", "STOPPED", signal=15)], LATER, True),
        (LIVES, [BORN], LATER, False),
    ],
)
def test_every_end_is_told_once_and_as_it_was(
    record: Record, events: list[dict[str, Any]], deeds: Deeds, is_wrong: bool
) -> None:
    assert bool(oracle.exits([record], events, deeds, True)) is is_wrong


@pytest.mark.parametrize(
    ("state", "pid", "records", "agrees"),
    [
        ("RUNNING", 70, [LIVES], True),
        ("RUNNING", 71, [LIVES], False),
        ("RUNNING", 70, [ENDED], False),
        ("RUNNING", 0, [ENDED], False),
        ("STOPPED", 0, [ENDED], True),
        ("STOPPED", 0, [LIVES], False),
        ("STOPPING", 70, [LIVES], False),
    ],
)
def test_rows_are_held_against_the_kernel(state: str, pid: int, records: list[Record], agrees: bool) -> None:
    row = {"name": "p", "state": state, "pid": pid}
    assert bool(oracle.agreement([row], records)) is not agrees


def test_an_operators_wish_counts() -> None:
    up = {"name": "p", "state": "RUNNING", "reason": ""}
    down = {"name": "p", "state": "EXITED", "reason": ""}
    assert oracle.wishes([up], ["p"], []) and oracle.wishes([down], [], ["p"])
    assert not oracle.wishes([down], ["p"], []) and not oracle.wishes([up], [], ["p"])
