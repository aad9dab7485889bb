"""Promises of the machine that hold in every history, however rude the keeper is."""

import pytest
from fakes.rude_keeper import RudeKeeper
from fleet_agent.core.machine import OUTSTANDING_STATES
from fleet_agent.core.model import Autorestart, ProcessSpec, State, TimerKind
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.pure

SPEC = ProcessSpec("web", "web", "run")

KEEPER_ACTIONS = ["birth", "deliver", "death", "tree", "repeat", "refuse"]
TIMER_ACTIONS = ["wait", "due", "fire", "fire_any"]
OPERATOR_ACTIONS = ["start", "stop", "signal", "replace"]
# The usual course comes more often than the rest, or few histories would go far.
ACTIONS = [*KEEPER_ACTIONS, *TIMER_ACTIONS, *OPERATOR_ACTIONS]
ACTIONS += ["wait", "birth", "deliver", "deliver", "due", "death", "deliver", "start"]

SPECS = st.builds(
    SPEC._replace,
    startsecs=st.sampled_from([0, 1, 3]),
    startretries=st.sampled_from([-1, 0, 1, 3]),
    stopwaitsecs=st.sampled_from([0, 1, 10]),
    autorestart=st.sampled_from(list(Autorestart)),
    stopsignal=st.sampled_from([15, 2]),
    stoptree=st.booleans(),
)
HISTORIES = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(min_value=0, max_value=60)), min_size=30, max_size=60
)


def check_promises(keeper: RudeKeeper) -> None:
    process = keeper.process
    outstanding = process.state in OUTSTANDING_STATES
    assert len(keeper.living) <= 1
    if not outstanding:
        assert not keeper.living, f"{process.state}, and yet run {keeper.living} lives"
        assert process.pid == 0
    elif process.state is State.STOPPING and process.exit is not None:
        assert keeper.spec.stoptree
        assert process.pid == 0
        assert process.timer is not None, "descendants that do not go must be killed"
    run = keeper.runs.get(process.run)
    if run is not None:
        known = run.told_spawned and not run.told_end
        assert process.pid == (run.pid if known else 0)
    if process.wanted and not outstanding:
        assert process.timer is not None, "forgotten"
    if keeper.wanted and not outstanding:
        over = process.state is State.FATAL or (
            process.state is State.EXITED
            and (
                keeper.spec.autorestart is Autorestart.NEVER
                or (keeper.spec.autorestart is Autorestart.UNEXPECTED and process.expected_exit)
            )
        )
        assert over or process.timer is not None, f"forgotten in {process.state}"
    if process.state is State.FATAL:
        assert process.failures > keeper.spec.startretries
    if process.timer is not None:
        assert process.timer.kind in {
            State.STARTING: {TimerKind.STARTED},
            State.BACKOFF: {TimerKind.RETRY},
            State.EXITED: {TimerKind.RESTART},
            State.STOPPING: {TimerKind.KILL},
        }.get(process.state, set())


@settings(max_examples=400, deadline=None)
@given(SPECS, HISTORIES)
def test_promises_hold_whatever_the_keeper_does(spec: ProcessSpec, history: list[tuple[str, int]]) -> None:
    keeper = RudeKeeper(spec)
    for action, choice in history:
        keeper.act(action, choice)
        check_promises(keeper)


@settings(max_examples=100, deadline=None)
@given(SPECS, HISTORIES)
def test_a_stop_always_comes_to_an_end(spec: ProcessSpec, history: list[tuple[str, int]]) -> None:
    keeper = RudeKeeper(spec)
    for action, choice in history:
        keeper.act(action, choice)
    keeper.act("stop", 0)
    keeper.act("birth", 1)
    keeper.act("death", 0)
    keeper.act("tree", 0)
    while keeper.undelivered:
        keeper.act("deliver", 0)
        keeper.act("tree", 0)
    assert keeper.process.state in (State.STOPPED, State.EXITED, State.FATAL)
    assert keeper.process.timer is None
    assert not keeper.living
