"""What a kernel lacks, and what that means."""

import pytest
from fakes.a_host import GOOD, complaint
from fleet_agent.host.check import Verdict
from fleet_agent.host.checks.kernel import judge
from fleet_agent.host.facts import ControlGroup, Facts, Kernel

pytestmark = pytest.mark.pure


def with_kernel(**changes: object) -> Facts:
    return GOOD._replace(kernel=GOOD.kernel._replace(**changes))  # type: ignore[arg-type]


def test_a_good_one() -> None:
    assert {check.verdict for check in judge(GOOD)} == {Verdict.OK}


@pytest.mark.parametrize(
    ("facts", "name", "verdict"),
    [
        (with_kernel(release="6.14.9"), "exit status", Verdict.LIMITED),
        (with_kernel(works=frozenset({"memfd", "reuseport", "fifo"})), "pidfd", Verdict.LIMITED),
        (with_kernel(works=frozenset({"pidfd", "reuseport", "fifo"})), "memfd", Verdict.LIMITED),
        (with_kernel(works=frozenset({"pidfd", "memfd", "reuseport"})), "fifo", Verdict.MISSING),
        (GOOD._replace(group=GOOD.group._replace(is_ours=False)), "control groups", Verdict.LIMITED),
        (GOOD._replace(group=GOOD.group._replace(controllers=frozenset())), "memory", Verdict.LIMITED),
        (GOOD._replace(group=GOOD.group._replace(path="/sys/fs/cgroup/agent")), "memory", Verdict.LIMITED),
    ],
)
def test_one_thing_is_wrong(facts: Facts, name: str, verdict: Verdict) -> None:
    check = complaint(judge(facts))
    assert (check.name, check.verdict) == (name, verdict)


def test_a_group_that_may_be_another_one_when_the_agent_runs_is_said_to_be() -> None:
    findings = [check.finding for check in judge(GOOD._replace(keeper=0))]
    assert any("of whoever asks" in finding for finding in findings)


def test_an_old_one_and_another_system() -> None:
    for kernel in (Kernel("Linux", "4.19.0-27", GOOD.kernel.works), Kernel("FreeBSD", "14.1", frozenset())):
        bad = {check.name for check in judge(GOOD._replace(kernel=kernel, group=ControlGroup()))}
        assert {"kernel", "exit status", "control groups"} <= bad


@pytest.mark.parametrize(
    ("release", "version"), [("6.18.44-x", (6, 18)), ("5.4", (5, 4)), ("strange", (0, 0)), ("", (0, 0))]
)
def test_a_release_in_numbers(release: str, version: tuple[int, int]) -> None:
    assert Kernel("Linux", release, frozenset()).version == version
