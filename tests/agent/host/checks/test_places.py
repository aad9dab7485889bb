"""Folders that cannot be used, or do not last."""

import pytest
from fakes.a_host import GOOD, complaint, folder
from fleet_agent.host.check import Verdict
from fleet_agent.host.checks.places import judge
from fleet_agent.host.facts import Facts

pytestmark = pytest.mark.pure


def with_state(**changes: object) -> Facts:
    return GOOD._replace(state=GOOD.state._replace(**changes))  # type: ignore[arg-type]


def test_good_ones() -> None:
    checks = judge(GOOD)
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert [check.name for check in checks] == ["state folder", "runtime folder", "log folders"]


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (with_state(kind="tmpfs"), Verdict.LIMITED, "is in memory"),
        (with_state(owner=1000), Verdict.MISSING, "belongs to uid 1000"),
        (with_state(mode=0o777), Verdict.MISSING, "mode 0777"),
        (with_state(is_writable=False), Verdict.MISSING, "cannot be written"),
        (with_state(free_bytes=1 << 20), Verdict.LIMITED, "1024 KiB free"),
        (with_state(free_files=3), Verdict.LIMITED, "3 files"),
    ],
)
def test_one_thing_is_wrong(facts: Facts, verdict: Verdict, words: str) -> None:
    check = complaint(judge(facts))
    assert (check.name, check.verdict) == ("state folder", verdict)
    assert words in check.finding


def test_a_folder_that_will_be_made() -> None:
    # What stands above it may belong to others and be open to them.
    facts = with_state(path="/var/lib", owner=5, mode=0o1777)
    assert "will be made" in judge(facts)[0].finding
    assert judge(facts)[0].verdict is Verdict.OK


def test_log_folders() -> None:
    gone = folder("/var/log/web")._replace(path="/var/log")
    closed = folder("/srv/log")._replace(is_writable=False)
    full = folder("/full")._replace(free_bytes=1)
    checks = judge(GOOD._replace(logs=(gone, folder("/var/log"), closed, full)))
    assert [check.finding for check in checks if check.verdict is Verdict.LIMITED] == [
        "/var/log/web does not exist",
        "/srv/log cannot be written",
        "/full: 0 KiB free",
    ]
