"""Who starts the agent, as whom, and who may talk to it."""

import pytest
from fakes.a_host import GOOD, SPEC, UNIT, complaint, config
from fleet_agent.host.check import Verdict
from fleet_agent.host.checks.service import judge
from fleet_agent.host.facts import Facts, Service, Unit

pytestmark = pytest.mark.pure


def with_unit(unit: Unit | None) -> Facts:
    return GOOD._replace(service=GOOD.service._replace(unit=unit))


def test_a_good_host() -> None:
    assert {check.verdict for check in judge(GOOD)} == {Verdict.OK}


LIMITED, MISSING = Verdict.LIMITED, Verdict.MISSING
WITH_USER = config(SPEC._replace(user="www"))


@pytest.mark.parametrize(
    ("facts", "name", "verdict", "words"),
    [
        (GOOD._replace(config=None, problems=("line 3: no",)), "configuration", MISSING, "line 3"),
        (GOOD._replace(config=None, configuration=""), "configuration", MISSING, "none is named"),
        (GOOD._replace(problems=("line 3: hm",)), "configuration", LIMITED, "1 warnings"),
        (GOOD._replace(answers=False), "agent", LIMITED, "does not answer"),
        (with_unit(None), "service", LIMITED, "knows no fleet-agent.service"),
        (with_unit(UNIT._replace(kill_mode="control-group")), "service", LIMITED, "KillMode=control-group"),
        (with_unit(UNIT._replace(kind="simple")), "service", LIMITED, "Type=simple"),
        (with_unit(UNIT._replace(delegates=False)), "service", LIMITED, "Delegate=no"),
        (with_unit(UNIT._replace(is_enabled=False)), "service", LIMITED, "not enabled"),
        (with_unit(UNIT._replace(stop_seconds=10.0)), "service", LIMITED, "a stop may take 40 s"),
        (with_unit(UNIT._replace(start="x -c /etc/b.conf")), "service", LIMITED, "does not run /etc/a.conf"),
        (GOOD._replace(environment="/opt/new"), "service", LIMITED, "the agent runs from /opt/new"),
        (GOOD._replace(service=Service(False, None, "", None, None)), "service", LIMITED, "no init script"),
        (GOOD._replace(uid=1000, config=WITH_USER), "users", MISSING, "programs are to run as www"),
        (GOOD._replace(uid=1000), "gateway", LIMITED, "uid 1000"),
        (GOOD._replace(login_users=("alice",)), "shared memory", LIMITED, "alice"),
        (GOOD._replace(gateway_user=""), "gateway", MISSING, "no user fleet-agent, nor nobody"),
        (GOOD._replace(gateway_user="nobody"), "gateway", LIMITED, "nobody"),
        (GOOD._replace(keeper=0, port_problem="in use"), "port", MISSING, "0.0.0.0:7601: in use"),
        (GOOD._replace(is_clock_synchronized=False), "clock", LIMITED, "not synchronised"),
        (GOOD._replace(is_clock_synchronized=None), "clock", LIMITED, "nobody knows"),
        (GOOD._replace(encoding="ascii"), "encoding", LIMITED, "ascii"),
    ],
)
def test_one_thing_is_wrong(facts: Facts, name: str, verdict: Verdict, words: str) -> None:
    check = complaint(judge(facts))
    assert (check.name, check.verdict) == (name, verdict)
    assert words in check.finding


def test_who_logs_out() -> None:
    service = GOOD.service._replace(lingers=False)
    facts = GOOD._replace(uid=1000, service=service, config=config())
    assert complaint(judge(facts)).name == "logout"
    assert {check.verdict for check in judge(facts._replace(service=service._replace(lingers=True)))} == {
        Verdict.OK
    }
    assert {check.verdict for check in judge(facts._replace(uid=0))} == {Verdict.OK}, "root does not"


def test_without_systemd_but_with_a_script_and_without_a_door() -> None:
    script = Service(False, None, "/etc/init.d/fleet-agent", None, None)
    checks = judge(GOOD._replace(service=script, config=config(), keeper=0))
    assert {check.verdict for check in checks} == {Verdict.OK}
    assert not {"gateway", "port"} & {check.name for check in checks}
