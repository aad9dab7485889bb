"""How verbs begin and when they are done, for every state."""

import pytest
from fleet_agent.core.model import Process, State
from fleet_agent.core.verbs import Result, Verb, begin, has_begun, judge

pytestmark = pytest.mark.pure

S = State


@pytest.mark.parametrize(
    ("verb", "state", "stop", "start", "code"),
    [
        (Verb.START, S.STOPPED, False, True, ""),
        (Verb.START, S.RUNNING, False, False, "ALREADY_STARTED"),
        (Verb.START, S.BACKOFF, False, False, "ALREADY_STARTED"),
        (Verb.START, S.STOPPING, False, True, ""),
        (Verb.START, S.UNKNOWN, False, False, "FAILED"),
        (Verb.STOP, S.STOPPED, False, False, "NOT_RUNNING"),
        (Verb.STOP, S.FATAL, False, False, "NOT_RUNNING"),
        (Verb.STOP, S.STARTING, True, False, ""),
        (Verb.STOP, S.STOPPING, True, False, ""),
        (Verb.RESTART, S.RUNNING, True, True, ""),
        (Verb.RESTART, S.FATAL, False, True, ""),
    ],
)
def test_beginnings(verb: Verb, state: State, stop: bool, start: bool, code: str) -> None:
    beginning = begin(verb, Process(state=state))
    assert (beginning.stop, beginning.start) == (stop, start)
    assert (beginning.verdict.code if beginning.verdict else "") == code


@pytest.mark.parametrize(
    ("verb", "state", "wanted", "run", "result"),
    [
        (Verb.START, S.STARTING, True, 2, None),
        (Verb.START, S.RUNNING, True, 2, Result.OK),
        (Verb.START, S.EXITED, False, 2, Result.OK),
        (Verb.START, S.BACKOFF, True, 2, Result.FAILED),
        (Verb.START, S.FATAL, False, 2, Result.FAILED),
        (Verb.START, S.STOPPED, False, 2, Result.FAILED),
        (Verb.START, S.STOPPING, True, 1, None),
        (Verb.START, S.STOPPED, False, 1, Result.FAILED),
        (Verb.RESTART, S.STOPPING, True, 1, None),
        (Verb.RESTART, S.RUNNING, True, 2, Result.OK),
        (Verb.STOP, S.STOPPING, False, 1, None),
        (Verb.STOP, S.STOPPED, False, 1, Result.OK),
        (Verb.STOP, S.EXITED, True, 1, Result.FAILED),
        (Verb.STOP, S.STARTING, True, 2, Result.FAILED),
        (Verb.STOP, S.UNKNOWN, False, 1, Result.FAILED),
    ],
)
def test_verdicts(verb: Verb, state: State, wanted: bool, run: int, result: Result | None) -> None:
    verdict = judge(verb, Process(state=state, wanted=wanted, run=run, reason="why"), run_before=1)
    assert (verdict.result if verdict else None) == result
    assert verdict is None or verdict.reason


@pytest.mark.parametrize(
    ("verb", "state", "run", "begun"),
    [
        (Verb.START, S.STOPPED, 1, False),
        (Verb.START, S.STARTING, 2, True),
        (Verb.RESTART, S.RUNNING, 1, False),
        (Verb.RESTART, S.STOPPING, 1, True),
        (Verb.RESTART, S.STOPPED, 1, False),
        (Verb.RESTART, S.RUNNING, 2, True),
        (Verb.STOP, S.RUNNING, 1, False),
        (Verb.STOP, S.STOPPED, 1, True),
    ],
)
def test_what_an_earlier_supervisor_got_done(verb: Verb, state: State, run: int, begun: bool) -> None:
    assert has_begun(verb, Process(state=state, run=run), run_before=1) is begun


@pytest.mark.parametrize("verb", [Verb.START, Verb.STOP, Verb.RESTART])
@pytest.mark.parametrize("state", list(State))
def test_every_state_has_a_beginning_and_a_judgement(verb: Verb, state: State) -> None:
    beginning = begin(verb, Process(state=state))
    assert (beginning.stop or beginning.start) is (beginning.verdict is None), (
        "it is done or there is something to do"
    )
    verdict = judge(verb, Process(state=state, run=2, reason="why"), 1)
    assert verdict is None or verdict.reason
