"""The loop wakes for descriptors, deadlines and other threads, and for nothing else."""

import os
import socket
import threading
import time

import pytest
from fleet_agent.supervisor import loop as room
from fleet_agent.supervisor.loop import Loop


def test_deadlines_fire_in_order_and_cancelled_ones_do_not() -> None:
    loop = Loop(time.monotonic)
    seen: list[str] = []
    loop.after(0.02, lambda: seen.append("second"))
    loop.after(0.01, lambda: seen.append("first"))
    loop.after(0.015, lambda: seen.append("never")).cancel()
    loop.after(0.03, loop.stop)
    loop.run()
    assert seen == ["first", "second"]


def test_a_descriptor_is_read_until_forgotten() -> None:
    loop = Loop(time.monotonic)
    reading, writing = os.pipe()
    seen: list[bytes] = []

    def on_readable() -> None:
        seen.append(os.read(reading, 1))
        if len(seen) == 2:
            loop.forget(reading)
            loop.stop()

    loop.watch(reading, on_readable)
    os.write(writing, b"abc")
    loop.run()
    assert seen == [b"a", b"b"]
    os.close(reading)
    os.close(writing)


def test_another_thread_wakes_it() -> None:
    loop = Loop(time.monotonic)
    wake = loop.waker(loop.stop)
    thread = threading.Thread(target=wake)
    thread.start()
    loop.run()
    thread.join()


def test_what_is_due_soon_runs_before_it_waits_again() -> None:
    loop = Loop(time.monotonic)
    seen: list[int] = []

    def again(number: int) -> None:
        seen.append(number)
        if number < 3:
            loop.soon(lambda: again(number + 1))
        else:
            loop.stop()

    loop.soon(lambda: again(1))
    loop.run()
    assert seen == [1, 2, 3]


def test_a_paused_descriptor_is_not_read_and_can_still_be_written() -> None:
    loop = Loop(time.monotonic)
    ours, theirs = socket.socketpair()
    seen: list[str] = []
    loop.watch(ours.fileno(), lambda: seen.append(ours.recv(10).decode()))
    loop.pause(ours.fileno(), is_paused=True)
    loop.pause(ours.fileno(), is_paused=True)
    theirs.send(b"words")
    loop.want_write(ours.fileno(), lambda: seen.append("writable"))
    loop.soon(loop.stop)
    loop.run()
    assert seen == ["writable"]
    loop.want_write(ours.fileno(), None)
    loop.soon(loop.stop)
    loop.run()
    assert seen == ["writable"]
    loop.pause(ours.fileno(), is_paused=False)
    loop.soon(loop.stop)
    loop.run()
    assert seen == ["writable", "words"]
    ours.close()
    theirs.close()


def test_the_end_of_a_peer_is_told_even_while_paused() -> None:
    loop = Loop(time.monotonic)
    ours, theirs = socket.socketpair()
    seen: list[bytes] = []

    def on_readable() -> None:
        seen.append(ours.recv(10))
        loop.stop()

    loop.watch(ours.fileno(), on_readable)
    loop.pause(ours.fileno(), is_paused=True)
    theirs.close()
    loop.run()
    assert seen == [b""]
    loop.forget(ours.fileno())
    loop.forget(ours.fileno())
    ours.close()


def test_a_deadline_in_a_year_is_waited_for_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "LONGEST_SLEEP_SECONDS", 0.01)
    now = [0.0]
    loop = Loop(lambda: now[0])
    seen: list[str] = []
    loop.after(2.0**31, lambda: seen.append("year"))
    reading, writing = os.pipe()

    def on_readable() -> None:
        os.read(reading, 1)
        seen.append("read")
        now[0] = 2.0**32
        loop.soon(loop.stop)

    loop.watch(reading, on_readable)
    threading.Timer(0.1, os.write, (writing, b"x")).start()
    loop.run()
    assert seen == ["read", "year"]
    loop.forget(reading)
    os.close(reading)
    os.close(writing)


def test_the_longest_sleep_is_one_that_the_kernel_takes() -> None:
    loop = Loop(lambda: 0.0)
    loop.after(2.0**31, lambda: None)
    loop.soon(loop.stop)
    loop.run()
    waker = loop.waker(loop.stop)
    threading.Timer(0.05, waker).start()
    loop.run()
