"""The way of one chunk from FIFO to log, step by step."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.answers import Result
from fleet_agent.supervisor.logs.inflight import CHUNK_BYTES, Journal
from fleet_agent.supervisor.logs.library import Library
from fleet_agent.supervisor.logs.streams import CLOSED, Pump, Run, Stream


class Setting:
    """A pump over one FIFO."""

    def __init__(self, folder: Path, is_stripped: bool = False) -> None:
        self.steps: list[str] = []
        self.heard: list[tuple[str, bytes]] = []
        answers: list[Result] = []
        self.library = Library(
            str(folder),
            lambda: "id",
            time.monotonic,
            answers.append,
            lambda _: None,
            lambda *_: None,
            self.steps.append,
        )
        self.journal = Journal(str(folder / "inflight"), "boot", bytes(32))
        self.pump = Pump(
            self.journal, lambda stream, data: self.heard.append((stream.name, data)), self.steps.append
        )
        os.mkfifo(folder / "fifo")
        self.write = os.open(folder / "fifo", os.O_RDWR)
        self.read = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        self.log = self.library.open(LogSpec(str(folder / "out.log")))
        self.stream = Stream(self.read, Run("p", 1), "stdout", self.log, is_stripped)
        self.out = folder / "out.log"

    def close_write(self) -> None:
        os.close(self.write)
        self.write = -1

    def close(self) -> None:
        os.close(self.read)
        if self.write >= 0:
            os.close(self.write)
        self.journal.close()


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.close()


def test_a_chunk_goes_its_way_in_order(setting: Setting) -> None:
    setting.steps.clear()
    os.write(setting.write, b"hello\n")
    assert setting.pump.move(setting.stream) == 6
    assert setting.out.read_bytes() == b"hello\n"
    assert setting.steps == ["announced", "read", "written", "cleared"]


def test_an_empty_fifo_moves_nothing_and_is_not_closed(setting: Setting) -> None:
    assert setting.pump.move(setting.stream) == 0
    assert setting.pump.probe(setting.stream) == 0
    assert "announced" not in setting.steps, "what is announced and not there was read, for all that is known"


def test_a_closed_fifo_is_told_after_its_last_bytes(setting: Setting) -> None:
    os.write(setting.write, b"bye")
    setting.close_write()
    assert setting.pump.probe(setting.stream) == 3
    assert setting.pump.move(setting.stream) == 0
    assert setting.pump.probe(setting.stream) == CLOSED
    assert setting.out.read_bytes() == b"bye"


def test_a_chunk_is_bounded(setting: Setting) -> None:
    os.write(setting.write, b"x" * 10_000)
    assert setting.pump.waiting(setting.read) == 10_000
    assert setting.pump.move(setting.stream, at_most=4000) == 4000
    assert setting.pump.move(setting.stream) == 6000
    assert CHUNK_BYTES == 65536


def test_what_is_printed_is_overheard_when_asked(setting: Setting) -> None:
    os.write(setting.write, b"one")
    setting.pump.move(setting.stream)
    setting.pump.is_overheard = True
    os.write(setting.write, b"two")
    setting.pump.move(setting.stream)
    assert setting.heard == [("stdout", b"two")]


def test_without_a_log_bytes_are_read_and_thrown_away(setting: Setting) -> None:
    stream = Stream(setting.read, Run("p", 1), "stdout", None, False)
    os.write(setting.write, b"hello")
    assert setting.pump.move(stream) == 5
    assert setting.out.read_bytes() == b""


def test_the_journals_words_follow_the_log(setting: Setting) -> None:
    before = setting.stream.tail(setting.log, "boot")
    assert setting.stream.tail(setting.log, "boot") is before
    setting.log.identify()
    assert b"id" in setting.stream.tail(setting.log, "boot")


def test_a_stripped_chunk_of_nothing_but_escapes_writes_nothing(tmp_path: Path) -> None:
    setting = Setting(tmp_path, is_stripped=True)
    os.write(setting.write, b"\x1b[0m\x1b[")
    assert setting.pump.move(setting.stream) == 6
    os.write(setting.write, b"1mx")
    assert setting.pump.move(setting.stream) == 3
    assert setting.out.read_bytes() == b"x"
    setting.close()
