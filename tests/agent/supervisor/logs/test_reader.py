"""When which stream is read, against real FIFOs in this thread."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent.supervisor.logs.reader import FULL_BYTES, SHORTEST_NAP_SECONDS, TURN_SECONDS, Reader
from fleet_agent.supervisor.logs.streams import Run, Stream


class Setting:
    """A reader whose moves are noted, and read `n` bytes of what is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.moves: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.turns = 0
        self.turned_after = 0
        self.writes: dict[str, int] = {}
        self.reader = Reader(self.move, self.end, self.turn)

    def stream(self, name: str) -> Stream:
        os.mkfifo(self.folder / name)
        self.writes[name] = os.open(self.folder / name, os.O_RDWR)
        fd = os.open(self.folder / name, os.O_RDONLY | os.O_NONBLOCK)
        stream = Stream(fd, Run("p", 1), name, None, False)
        self.reader.add(stream)
        return stream

    def move(self, stream: Stream) -> int:
        try:
            count = len(os.read(stream.fd, 65536))
        except BlockingIOError:
            count = 0
        self.moves.append((stream.name, count))
        return count

    def end(self, stream: Stream) -> None:
        self.ended.append(stream.name)
        self.reader.drop(stream)
        os.close(stream.fd)

    def turn(self) -> None:
        self.turns += 1
        self.turned_after = len(self.moves)

    def print(self, name: str, count: int) -> None:
        os.write(self.writes[name], b"x" * count)

    def step_until(self, moves: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.moves) < moves:
            assert time.monotonic() < deadline
            self.reader.step()

    def close(self) -> None:
        for fd in self.writes.values():
            os.close(fd)
        for stream in list(self.reader.streams.values()):
            self.reader.drop(stream)
            os.close(stream.fd)
        self.reader.close()


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.close()


def test_the_first_word_is_read_at_once_and_the_next_after_a_turn(setting: Setting) -> None:
    setting.stream("a")
    setting.print("a", 5)
    setting.reader.step()
    assert setting.moves == [("a", 5)]
    assert setting.turns == 1
    began = time.monotonic()
    setting.print("a", 6)
    setting.step_until(2)
    assert time.monotonic() - began >= TURN_SECONDS * 0.8
    assert setting.moves == [("a", 5), ("a", 6)]


def test_a_wake_ends_a_sleep(setting: Setting) -> None:
    setting.reader.wake()
    setting.reader.step()
    setting.stream("a")
    setting.print("a", 5)
    setting.reader.step()
    setting.reader.wake()
    began = time.monotonic()
    setting.reader.step()
    assert time.monotonic() - began < 10
    assert len(setting.moves) == 1


def test_a_full_fifo_is_read_again_at_once_and_in_turns_with_others(setting: Setting) -> None:
    a, b = setting.stream("a"), setting.stream("b")
    setting.print("a", 65536)
    setting.print("b", 65536)
    setting.reader.step()
    assert a.is_fast
    assert b.is_fast
    for _ in range(3):
        setting.print("a", FULL_BYTES)
        setting.print("b", FULL_BYTES)
        setting.reader.step()
    assert [name for name, _ in setting.moves] == ["a", "b"] * 4


def test_a_fast_stream_that_calms_down_is_slow_again(setting: Setting) -> None:
    stream = setting.stream("a")
    setting.print("a", 65536)
    setting.reader.step()
    naps = []
    while stream.is_fast:
        setting.step_until(len(setting.moves) + 1)
        naps.append(stream.nap)
    assert naps[0] == SHORTEST_NAP_SECONDS
    assert naps == sorted(naps)
    assert naps[-1] >= TURN_SECONDS
    assert len(naps) < 12
    # What it said last is told before the thread sleeps.
    assert setting.turned_after == len(setting.moves)


def test_a_slow_stream_is_heard_beside_a_fast_one(setting: Setting) -> None:
    setting.stream("fast")
    setting.stream("slow")
    setting.print("fast", 65536)
    setting.reader.step()
    setting.print("slow", 7)
    deadline = time.monotonic() + 10
    while ("slow", 7) not in setting.moves:
        assert time.monotonic() < deadline
        setting.print("fast", FULL_BYTES)
        setting.step_until(len(setting.moves) + 1)


def test_an_end_is_told_once_after_the_last_bytes(setting: Setting) -> None:
    setting.stream("a")
    setting.print("a", 5)
    os.close(setting.writes.pop("a"))
    setting.step_until(2)
    assert setting.moves == [("a", 5), ("a", 0)]
    assert setting.ended == ["a"]
    setting.reader.wake()
    setting.reader.step()
    assert setting.ended == ["a"]
