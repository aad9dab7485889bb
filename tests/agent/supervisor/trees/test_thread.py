"""What is asked of the thread is done in order, or said not to be."""

import threading
import time

import pytest
from fakes.loop_turns import turn_until
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.trees.thread import TreeThread


def test_one_after_the_other_and_what_fails_is_told() -> None:
    loop, warnings, results = Loop(time.monotonic), list[str](), list[int | None]()
    thread = TreeThread(loop, warnings.append)
    thread.do(lambda: 1, results.append)
    thread.do(lambda: 1 // 0, results.append)
    thread.do(lambda: 3, results.append)
    turn_until(loop, lambda: len(results) == 3)
    assert results == [1, None, 3]
    (words,) = warnings
    assert words.startswith("looking after descendants failed: ZeroDivisionError: ")


def test_one_that_could_not_be_started_is_started_by_the_next_asker(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, warnings, results = Loop(time.monotonic), list[str](), list[int | None]()
    thread = TreeThread(loop, warnings.append)
    with monkeypatch.context() as short:

        def cannot(_: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        short.setattr(threading.Thread, "start", cannot)
        thread.do(lambda: 1, results.append)
        turn_until(loop, lambda: len(results) == 1)
    assert (results, warnings) == ([None], ["descendants cannot be looked after: can't start new thread"])
    thread.do(lambda: 2, results.append)
    turn_until(loop, lambda: len(results) == 2)
    assert results == [None, 2]
