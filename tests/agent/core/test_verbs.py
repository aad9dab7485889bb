"""How verbs begin and when they are done, for every state."""

import pytest
from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.core.model import Process, ProcessSpec, State
from fleet_agent.core.verbs import (
    WISHING,
    Result,
    Verb,
    begin,
    desire_after,
    has_begun,
    judge,
    may_autostart,
)

pytestmark = pytest.mark.pure

S = State
NEW = Desire(DesireKind.STOPPED, "alice", "now", 9.0, "op-9")
STOPPED = Desire(DesireKind.STOPPED, "bob", "before", 1.0)
DISABLED = Desire(DesireKind.DISABLED, "bob", "before", 1.0)
NEW_DISABLED = NEW._replace(kind=DesireKind.DISABLED)


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


@pytest.mark.parametrize(
    ("verb", "after_none", "after_stopped", "after_disabled"),
    [
        (Verb.STOP, NEW, STOPPED, DISABLED),
        (Verb.START, None, None, DISABLED),
        (Verb.RESTART, None, None, DISABLED),
        (Verb.DISABLE, NEW_DISABLED, NEW_DISABLED, DISABLED),
        (Verb.ENABLE, None, None, None),
        (Verb.SIGNAL, None, STOPPED, DISABLED),
    ],
)
def test_what_is_wanted_for_good_after_a_verb(
    verb: Verb, after_none: Desire | None, after_stopped: Desire | None, after_disabled: Desire | None
) -> None:
    assert desire_after(verb, None, NEW) == after_none
    assert desire_after(verb, STOPPED, NEW) == after_stopped
    assert desire_after(verb, DISABLED, NEW) == after_disabled


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("verb", [Verb.START, Verb.RESTART])
def test_what_is_disabled_is_neither_started_nor_restarted(verb: Verb, state: State) -> None:
    beginning = begin(verb, Process(state=state, wanted=True), before=DISABLED)
    assert not beginning.stop
    assert not beginning.start
    assert beginning.verdict == (Result.REFUSED, "disabled by bob: 'before'", "DISABLED")


@pytest.mark.parametrize(
    ("verb", "state", "now", "before", "stop", "start", "result"),
    [
        (Verb.DISABLE, S.RUNNING, False, None, False, False, Result.OK),
        (Verb.DISABLE, S.RUNNING, False, STOPPED, False, False, Result.OK),
        (Verb.DISABLE, S.RUNNING, False, DISABLED, False, False, Result.UNCHANGED),
        (Verb.DISABLE, S.RUNNING, True, DISABLED, True, False, None),
        (Verb.DISABLE, S.BACKOFF, True, None, True, False, None),
        (Verb.DISABLE, S.FATAL, True, None, False, False, Result.OK),
        (Verb.ENABLE, S.STOPPED, False, DISABLED, False, False, Result.OK),
        (Verb.ENABLE, S.STOPPED, False, STOPPED, False, False, Result.OK),
        (Verb.ENABLE, S.STOPPED, False, None, False, False, Result.UNCHANGED),
        (Verb.ENABLE, S.STOPPED, True, DISABLED, False, True, None),
        (Verb.ENABLE, S.RUNNING, True, DISABLED, False, False, Result.OK),
        (Verb.ENABLE, S.UNKNOWN, True, DISABLED, False, False, Result.FAILED),
    ],
)
def test_enable_and_disable(
    verb: Verb, state: State, now: bool, before: Desire | None, stop: bool, start: bool, result: Result | None
) -> None:
    beginning = begin(verb, Process(state=state), now=now, before=before)
    assert (beginning.stop, beginning.start) == (stop, start)
    assert (beginning.verdict.result if beginning.verdict else None) == result


@pytest.mark.parametrize("verb", sorted(WISHING))
@pytest.mark.parametrize("state", list(State))
def test_a_wish_that_is_to_come_true_now_ends_in_a_verdict(verb: Verb, state: State) -> None:
    beginning = begin(verb, Process(state=state), now=True, before=None)
    assert (beginning.stop or beginning.start) is (beginning.verdict is None)
    done = Process(state=S.STOPPED if verb is Verb.DISABLE else S.RUNNING, run=2)
    verdict = judge(verb, done, 1)
    assert verdict is not None
    assert verdict.result is Result.OK


@pytest.mark.parametrize(
    ("autostart", "changed", "desire", "starts"),
    [
        (True, 0.0, None, True),
        (False, 0.0, None, False),
        (True, 5.0, None, False),
        (True, 0.0, STOPPED, False),
        (True, 0.0, DISABLED, False),
    ],
)
def test_autostart(autostart: bool, changed: float, desire: Desire | None, starts: bool) -> None:
    spec = ProcessSpec("a", "g", "true", autostart=autostart)
    assert may_autostart(spec, Process(changed_wall=changed, desire=desire)) is starts
