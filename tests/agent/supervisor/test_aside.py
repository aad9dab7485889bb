"""What may wait for a disk runs beside the loop."""

import threading
import time

import pytest
from fleet_agent.supervisor.aside import AsideThread, within
from fleet_agent.supervisor.loop import Loop


def test_the_loop_hears_how_it_went_and_turns_meanwhile() -> None:
    loop = Loop(time.monotonic)
    aside = AsideThread(loop)
    gate, turned, results = threading.Event(), [], []

    def act() -> None:
        assert gate.wait(30)
        raise OSError(28, "No space left on device")

    def done(error: OSError | None) -> None:
        results.append(error)
        loop.stop()

    def turn() -> None:
        turned.append(threading.current_thread() is threading.main_thread())
        gate.set()

    aside(act, done)
    loop.after(0.01, turn)
    loop.run()
    assert turned == [True]
    (error,) = results
    assert error is not None
    assert error.errno == 28

    aside(lambda: None, done)
    loop.run()
    assert results[1:] == [None]


def test_what_takes_too_long_is_not_waited_for() -> None:
    gate = threading.Event()

    def wait() -> None:
        gate.wait(30)

    def fail() -> None:
        raise OSError(28, "No space left on device")

    assert within(0.01, wait) == "not done within 0.01 s"
    gate.set()
    assert within(30, fail) == "No space left on device"
    assert within(30, lambda: None) == ""


def test_where_no_thread_can_be_started_an_act_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    loop = Loop(time.monotonic)
    results: list[OSError | None] = []

    def done(error: OSError | None) -> None:
        results.append(error)
        loop.stop()

    AsideThread(loop)(lambda: None, done)
    assert results == [], "its caller is not ready for an answer"
    loop.run()
    assert "can't start new thread" in str(results[0])
    assert within(1.0, lambda: None) == "can't start new thread"
