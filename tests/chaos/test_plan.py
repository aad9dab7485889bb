"""A plan comes from its seed alone, and has everything in it."""

import pytest
from chaos.plan import KINDS, OFFICES, VERBS, episode

pytestmark = pytest.mark.pure


def test_the_same_seed_gives_the_same_plan() -> None:
    assert episode(7, 3) == episode(7, 3)
    assert episode(7, 3) != episode(7, 4)
    assert episode(7, 3) != episode(8, 3)
    assert episode(7, 3, rounds=5).rounds == episode(7, 3).rounds[:5]


def test_everything_happens() -> None:
    plans = [episode(1, number) for number in range(40)]
    rounds = [a_round for plan in plans for a_round in plan.rounds]
    assert {program.kind for plan in plans for program in plan.programs} == set(KINDS)
    verbs = {command.verb for a_round in rounds for command in a_round.commands}
    assert verbs == set(VERBS)
    blows = {(blow.what, *sorted(blow.targets)) for a_round in rounds for blow in a_round.blows}
    pairs = {("kill", *sorted((one, other))) for one in OFFICES for other in OFFICES if one != other}
    assert pairs | {("kill", office) for office in OFFICES} | {("kill", *sorted(OFFICES))} <= blows
    assert ("detach", "keeper") in blows
    assert {("freeze", office) for office in OFFICES} <= blows
