"""How many programs limits allow; what one takes is counted on a real agent."""

import os
from pathlib import Path

import pytest
from fakes.a_host import GOOD, SPEC, complaint, config
from fleet_agent.core.model import LogSpec
from fleet_agent.host.check import Verdict
from fleet_agent.host.checks.limits import (
    KEEPER_OWN,
    SUPERVISOR_OWN,
    Need,
    judge,
    most_processes,
    open_files_of,
)
from fleet_agent.host.facts import Facts
from real.agent import RealAgent
from real.waiting import wait_for

COUNT = 12


def limited(**changes: object) -> Facts:
    return GOOD._replace(limits=GOOD.limits._replace(**changes), uid=1000)  # type: ignore[arg-type]


@pytest.mark.pure
def test_what_a_process_takes() -> None:
    nothing = LogSpec()
    assert open_files_of(SPEC) == Need(4, 4)
    assert open_files_of(SPEC._replace(stderr=nothing)) == Need(4, 3)
    assert open_files_of(SPEC._replace(stderr=LogSpec(is_auto=True))) == Need(4, 4)
    assert open_files_of(SPEC._replace(redirect_stderr=True)) == Need(3, 2)


@pytest.mark.pure
def test_how_many_there_may_be() -> None:
    assert most_processes(1024) == (1024 - KEEPER_OWN) // 4
    assert most_processes(1024, [SPEC._replace(redirect_stderr=True)]) == (1024 - KEEPER_OWN) // 3
    assert most_processes(10) == 0
    assert all(most_processes(files) <= most_processes(files + 1) for files in range(3000))


@pytest.mark.pure
def test_good_limits_and_the_number_is_told() -> None:
    checks = judge(GOOD)
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert f"up to {most_processes(524288)} programs" in checks[0].finding
    assert judge(limited(open_files=None))[0].finding == "unlimited"


@pytest.mark.pure
@pytest.mark.parametrize(
    ("facts", "name", "words"),
    [
        (limited(open_files=KEEPER_OWN + 3)._replace(config=None), "", "up to 0 programs"),
        (
            limited(open_files=KEEPER_OWN + 40)._replace(config=config(*[SPEC] * 11), uid=0),
            "open files",
            "up to 10 programs, and the configuration has 11",
        ),
        (limited(open_files=1000), "minfds", "minfds=1024"),
        (limited(processes=5), "processes", "up to 5 (processes of this user)"),
        (limited(pids=6), "processes", "pids.max"),
        (limited(pid_max=7), "processes", "pid_max"),
    ],
)
def test_a_limit_that_is_too_low(facts: Facts, name: str, words: str) -> None:
    if not name:
        assert words in judge(facts)[0].finding
        return
    check = complaint(judge(facts))
    assert (check.name, check.verdict) == (name, Verdict.MISSING)
    assert words in check.finding


@pytest.mark.pure
def test_the_limit_of_a_user_does_not_hold_for_root() -> None:
    assert {check.verdict for check in judge(limited(processes=5)._replace(uid=0))} == {Verdict.OK}


def open_files(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.mark.parametrize("redirect", [False, True])
def test_a_real_agent_takes_what_is_said(tmp_path: Path, redirect: bool) -> None:
    spec = SPEC._replace(redirect_stderr=redirect)
    text = (
        f"[program:a]\ncommand=/bin/sleep 1000\nnumprocs={COUNT}\nprocess_name=%(process_num)d\n"
        f"redirect_stderr={str(redirect).lower()}\n"
    )
    need = open_files_of(spec)
    with RealAgent(tmp_path, text) as agent:
        hello = wait_for(
            lambda: agent.hello() if all_run(agent) else None, what="all programs running", seconds=30
        )
        assert hello is not None
        supervisor = open_files(hello["supervisor_pid"])
        assert COUNT * need.supervisor < supervisor <= COUNT * need.supervisor + SUPERVISOR_OWN
        # Its ends of the children may lie in sockets: no more than that.
        assert open_files(hello["pid"]) <= COUNT * need.keeper + KEEPER_OWN


def all_run(agent: RealAgent) -> bool:
    rows = agent.rows()
    return len(rows) == COUNT and all(row["state"] == "RUNNING" for row in rows.values())
