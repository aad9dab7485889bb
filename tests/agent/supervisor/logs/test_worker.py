"""The log thread against real FIFOs, through the door that the main loop uses."""

import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.worker import (
    Drained,
    LogDescribed,
    LogGrew,
    LogRotated,
    LogWorker,
    Result,
    RunClosed,
)
from fleet_api.errors import NotFound
from fleet_api.logtail import LogTail

R = TypeVar("R")


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.002)


class Child:
    """The write end of a FIFO, held as a child holds it."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR)
        self.read_end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def print(self, data: bytes) -> None:
        while data:
            data = data[os.write(self.fd, data) :]

    def end(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Logs:
    """A log thread and its results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[Child] = []
        self.seen: list[Result] = []
        self.woken = threading.Event()
        self.troubles: list[tuple[str, str, str, int]] = []
        self.begun: list[str] = []
        (folder / "run").mkdir()
        self.worker = LogWorker(
            str(folder / "run"),
            str(folder / "state"),
            self.woken.set,
            lambda: "new id",
            self.report,
            begun=lambda: self.begun.append("begun"),
        )
        self.worker.start()

    def report(self, *trouble: Any) -> None:
        self.troubles.append(trouble)

    def child(self) -> Child:
        child = Child(self.folder / f"fifo{len(self.children)}")
        self.children.append(child)
        return child

    def run(self, process: str, number: int = 1, **options: object) -> Child:
        """A run whose stdout goes to <process>.log."""
        child = self.child()
        spec = LogSpec(self.path(process))._replace(**options)  # type: ignore[arg-type]
        self.worker.open_run(process, number, {"stdout": child.read_end}, {"stdout": spec})
        return child

    def path(self, process: str) -> str:
        return str(self.folder / f"{process}.log")

    def text(self, process: str) -> bytes:
        path = Path(self.path(process))
        return path.read_bytes() if path.exists() else b""

    def take(self) -> list[Result]:
        self.seen += self.worker.results()
        return self.seen

    def wait(self, kind: type[R]) -> R:
        """The next result of this kind; the others stay."""
        found: list[R] = []

        def is_there() -> bool:
            found.extend(result for result in self.take() if isinstance(result, kind))
            return bool(found)

        wait_for(is_there)
        self.seen.remove(found[0])  # type: ignore[arg-type]
        return found[0]


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(tmp_path)
    try:
        yield made
    finally:
        assert made.worker.stop(10.0)
        for child in made.children:
            child.end()
        for result in made.take():
            if isinstance(result, LogDescribed):
                for _, fd in result.segments:
                    os.close(fd)


# ---------------------------------------------------------------- reading


def test_what_a_child_prints_is_in_its_log(logs: Logs) -> None:
    child = logs.run("a")
    child.print(b"hello\n")
    wait_for(lambda: logs.text("a") == b"hello\n")
    child.print(b"again\n")
    wait_for(lambda: logs.text("a") == b"hello\nagain\n")


def test_a_log_is_made_before_anything_is_printed(logs: Logs) -> None:
    logs.run("a")
    wait_for(lambda: os.path.exists(logs.path("a")))


def test_both_streams_into_one_file_rotate_as_one(logs: Logs) -> None:
    out, err = logs.child(), logs.child()
    spec = LogSpec(logs.path("a"), maxbytes=100, backups=1000)
    logs.worker.open_run(
        "a", 1, {"stdout": out.read_end, "stderr": err.read_end}, {"stdout": spec, "stderr": spec}
    )
    for number in range(200):
        (out, err)[number % 2].print(b"line %03d\n" % number)
    logs.worker.ended("a", 1)
    logs.wait(Drained)
    lines = [line for path in logs.folder.glob("a.log*") for line in path.read_bytes().splitlines()]
    assert sorted(lines) == [b"line %03d" % number for number in range(200)]


def test_output_that_is_not_kept_is_read_all_the_same(logs: Logs) -> None:
    child = logs.child()
    logs.worker.open_run("a", 1, {"stdout": child.read_end}, {"stdout": LogSpec()})
    child.print(b"x" * 1_000_000)
    logs.worker.ended("a", 1)
    assert logs.wait(Drained) == Drained("a", 1, False)


def test_escape_sequences_are_stripped(logs: Logs) -> None:
    child = logs.child()
    logs.worker.open_run("a", 1, {"stdout": child.read_end}, {"stdout": LogSpec(logs.path("a"))}, strip=True)
    child.print(b"\x1b[31mred\x1b[")
    wait_for(lambda: logs.text("a") == b"red")
    child.print(b"0m plain\n")
    wait_for(lambda: logs.text("a") == b"red plain\n")


def test_a_flood_does_not_starve_the_others(logs: Logs) -> None:
    flood, quiet = logs.run("flood", maxbytes=1_000_000, backups=1), logs.run("quiet")
    program = "import os\nwhile True: os.write(1, b'x' * 4095 + b'\\n')"
    writer = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=flood.fd)
    try:
        wait_for(lambda: os.path.exists(logs.path("flood") + ".1"))
        for number in range(20):
            quiet.print(b"%d\n" % number)
            wait_for(lambda number=number: logs.text("quiet").endswith(b"%d\n" % number))  # type: ignore[misc]
    finally:
        writer.kill()
        writer.wait(10)


def test_an_idle_thread_costs_nothing(logs: Logs) -> None:
    children = [logs.run(f"p{number}") for number in range(20)]
    for child in children:
        child.print(b"x\n")
    wait_for(lambda: all(logs.text(f"p{number}") for number in range(20)))
    children[0].end()  # a closed stream must not spin either
    before = resource.getrusage(resource.RUSAGE_SELF)
    deadline = time.monotonic() + 0.5
    wait_for(lambda: time.monotonic() > deadline)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_nvcsw - before.ru_nvcsw < 400  # the test itself wakes 250 times
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.3


# ---------------------------------------------------------------- ends


def test_the_last_words_are_written_before_drained_is_told(logs: Logs) -> None:
    child = logs.run("a")
    text = b"".join(b"line %d\n" % number for number in range(5000))
    child.print(text)
    child.end()
    logs.worker.ended("a", 1)
    assert logs.wait(Drained) == Drained("a", 1, True)
    assert logs.text("a") == text
    assert logs.woken.is_set()


def test_streams_that_closed_before_the_end_are_drained(logs: Logs) -> None:
    child = logs.run("a")
    child.print(b"bye\n")
    child.end()
    wait_for(lambda: logs.text("a") == b"bye\n")
    logs.worker.ended("a", 1)
    assert logs.wait(Drained) == Drained("a", 1, True)


def test_the_end_of_an_unknown_run_is_drained_at_once(logs: Logs) -> None:
    logs.worker.ended("a", 7)
    assert logs.wait(Drained) == Drained("a", 7, True)


def test_a_grandchild_is_read_on_until_it_lets_go(logs: Logs) -> None:
    grandchild = logs.run("a")
    grandchild.print(b"of the child\n")
    logs.worker.ended("a", 1)
    assert logs.wait(Drained) == Drained("a", 1, False)
    grandchild.print(b"of the grandchild\n")
    wait_for(lambda: logs.text("a") == b"of the child\nof the grandchild\n")
    grandchild.end()
    assert logs.wait(RunClosed) == RunClosed("a", 1)


def test_a_grandchild_that_floods_does_not_hold_drained_up(logs: Logs) -> None:
    grandchild = logs.run("a", maxbytes=1_000_000, backups=1)
    program = "import os\nwhile True: os.write(1, b'x' * 4095 + b'\\n')"
    writer = subprocess.Popen([sys.executable, "-S", "-c", program], stdout=grandchild.fd)
    try:
        wait_for(lambda: os.path.exists(logs.path("a") + ".1"))
        logs.worker.ended("a", 1)
        assert logs.wait(Drained) == Drained("a", 1, False)
    finally:
        writer.kill()
        writer.wait(10)


def test_at_most_four_runs_linger(logs: Logs) -> None:
    logs.worker.configure_activity(str(logs.folder / "agent.log"), 0, 0, 20, False)
    children = []
    for number in range(1, 6):
        children.append(logs.run("a", number))
        logs.worker.ended("a", number)
        assert logs.wait(Drained) == Drained("a", number, False)
    assert logs.wait(RunClosed) == RunClosed("a", 1)
    children[1].print(b"still read\n")
    wait_for(lambda: logs.text("a") == b"still read\n")
    assert "run 1 is read no more" in (logs.folder / "agent.log").read_text()


def test_stop_writes_what_can_be_read(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    child = logs.run("a")
    child.print(b"x" * 60_000)
    assert logs.worker.stop(10.0)
    assert len(logs.text("a")) == 60_000
    assert logs.worker.stop(10.0)
    child.end()


def test_a_bad_descriptor_harms_nobody(logs: Logs) -> None:
    good = logs.run("good")
    folder = os.open(logs.folder, os.O_RDONLY)
    logs.worker.open_run("bad", 1, {"stdout": folder, "stderr": 10_000}, {})
    logs.worker.configure_activity(logs.path("activity"), 0, 0, 20, False)
    wait_for(lambda: logs.text("activity").count(b"cannot be read") == 2)
    assert b"bad stdout cannot be read" in logs.text("activity")
    assert b"bad stderr cannot be read" in logs.text("activity")
    good.print(b"fine\n")
    wait_for(lambda: logs.text("good") == b"fine\n")
    logs.worker.ended("bad", 1)
    assert logs.wait(Drained) == Drained("bad", 1, True)


# ---------------------------------------------------------------- words of the agent


def test_the_supervisors_words_go_into_the_log(logs: Logs) -> None:
    child = logs.run("a")
    logs.worker.write("a", "stdout", b"supervisor: x\n")
    wait_for(lambda: logs.text("a") == b"supervisor: x\n")
    logs.worker.write("b", "stderr", b"supervisor: could not be started\n", LogSpec(logs.path("b")))
    wait_for(lambda: logs.text("b") == b"supervisor: could not be started\n")
    logs.worker.write("nobody", "stderr", b"lost\n")
    child.print(b"on\n")
    wait_for(lambda: logs.text("a") == b"supervisor: x\non\n")


def test_the_activity_log(logs: Logs) -> None:
    logs.worker.activity(20, "early")
    logs.worker.configure_activity(str(logs.folder / "agent.log"), 0, 0, 20, False)
    logs.worker.activity(10, "too detailed")
    logs.worker.activity(30, "late")
    agent_log = logs.folder / "agent.log"
    wait_for(lambda: agent_log.exists() and "late" in agent_log.read_text())
    assert [line.split(",")[1][4:] for line in agent_log.read_text().splitlines()] == [
        "INFO early",
        "WARN late",
    ]


def test_at_debug_level_it_repeats_what_children_print(logs: Logs) -> None:
    agent_log = logs.folder / "agent.log"
    logs.worker.configure_activity(str(agent_log), 0, 0, 10, False)
    logs.run("a").print(b"hello\n")
    wait_for(lambda: agent_log.exists() and "DEBG 'a' stdout output:\nhello\n" in agent_log.read_text())


def test_reopen_follows_what_others_rotated(logs: Logs) -> None:
    child = logs.run("a")
    child.print(b"one\n")
    wait_for(lambda: logs.text("a") == b"one\n")
    os.rename(logs.path("a"), logs.path("a") + ".old")
    logs.worker.reopen()
    child.print(b"two\n")
    wait_for(lambda: logs.text("a") == b"two\n")


def test_a_lost_folder_stops_nobody_and_is_told(logs: Logs) -> None:
    folder = logs.folder / "deep"
    child = logs.child()
    spec = LogSpec(str(folder / "a.log"))
    logs.worker.open_run("a", 1, {"stdout": child.read_end}, {"stdout": spec})
    child.print(b"x" * 1_000_000)
    wait_for(lambda: sum(lost for *_, lost in logs.troubles) >= 900_000)
    why = {trouble[:3] for trouble in logs.troubles}
    words = "cannot be written: No such file or directory; what is printed is lost until it can"
    assert why == {("log", spec.path, words)}
    folder.mkdir()

    def is_back() -> bool:
        child.print(b"y\n")
        return (folder / "a.log").exists()

    wait_for(is_back)
    wait_for(lambda: logs.troubles[-1] == ("log", spec.path, "", 0))
    assert sum(lost for *_, lost in logs.troubles) >= 1_000_000


def test_a_stalled_disk_stops_no_caller(logs: Logs) -> None:
    os.mkfifo(logs.path("a"))
    disk = os.open(logs.path("a"), os.O_RDWR)  # takes 64 KiB, then nothing
    child = logs.run("a")
    for _ in range(3):
        child.print(b"x" * 60_000)
    for number in range(20_000):
        logs.worker.activity(20, f"line {number}")
    logs.worker.ended("a", 1)
    wait_for(lambda: logs.worker.busy(time.monotonic() + 5)[0] > 5)
    assert logs.worker.busy(time.monotonic())[1] == logs.path("a")
    dropped = [trouble for trouble in logs.troubles if trouble[0] == "activity log"]
    assert 9_000 < len(dropped) <= 10_001
    assert "takes no more lines: 10000 wait for the disk" in dropped[0][2]
    assert not logs.worker.stop(0.1)
    assert logs.take() == []
    left = 180_000
    while left:
        left -= len(os.read(disk, left))
    assert logs.wait(Drained) == Drained("a", 1, False)
    os.close(disk)


def test_work_is_told_once_until_somebody_looks(logs: Logs) -> None:
    child = logs.run("a")
    for count in (1, 2):
        for number in range(20):
            line = b"%d %d\n" % (count, number)
            child.print(line)
            wait_for(lambda line=line: logs.text("a").endswith(line))  # type: ignore[misc]
        assert len(logs.begun) == count
        wait_for(lambda: logs.worker.busy(time.monotonic())[0] == 0.0)


# ---------------------------------------------------------------- descriptions


def test_a_log_is_described_over_its_rotations(logs: Logs) -> None:
    child = logs.run("a", maxbytes=1000, backups=9)
    text = b"".join(b"line %d\n" % number for number in range(500))
    child.print(text)
    logs.worker.ended("a", 1)
    logs.wait(Drained)
    spec = LogSpec(logs.path("a"), maxbytes=1000, backups=9)
    logs.worker.describe(5, "a", "stdout", spec, False)
    answer = logs.wait(LogDescribed)
    assert (answer.request, answer.log_id, answer.error) == (5, "new id", None)
    assert answer.end == len(text)
    tail = LogTail(answer.log_id, answer.segments, answer.end)
    found = b""
    while chunk := tail.read(700).data:
        found += chunk
    tail.close()
    assert found == text


def test_a_log_of_a_process_that_does_not_run_is_described(logs: Logs) -> None:
    Path(logs.path("a")).write_bytes(b"of yesterday\n")
    logs.worker.describe(1, "a", "stdout", LogSpec(logs.path("a")), False)
    answer = logs.wait(LogDescribed)
    assert answer.end == 13
    assert os.pread(answer.segments[0][1], 100, 0) == b"of yesterday\n"
    os.close(answer.segments[0][1])


@pytest.mark.parametrize(
    ("path", "code"), [("", "NO_LOG_FILE"), ("none.log", "LOG_NOT_FOUND"), ("/dev/null", "LOG_NOT_FOUND")]
)
def test_a_log_that_is_not_there_is_an_error(logs: Logs, path: str, code: str) -> None:
    where = os.path.join(logs.folder, path) if path else ""
    logs.worker.describe(1, "a", "stdout", LogSpec(where), True)
    answer = logs.wait(LogDescribed)
    assert answer.segments == []
    assert isinstance(answer.error, NotFound)
    assert answer.error.code == code
    assert "a stdout" in answer.error.message


def test_a_followed_log_tells_growth_and_rotation_until_forgotten(logs: Logs) -> None:
    child = logs.run("a", maxbytes=100_000, backups=3)
    child.print(b"before\n")
    wait_for(lambda: logs.text("a") == b"before\n")
    logs.worker.describe(9, "a", "stdout", LogSpec(logs.path("a"), maxbytes=100_000, backups=3), True)
    answer = logs.wait(LogDescribed)
    tail = LogTail(answer.log_id, answer.segments, answer.end)
    text = b"before\n"
    found = tail.read(1 << 20).data
    child.print(b"more\n")
    grown = logs.wait(LogGrew)
    assert grown == LogGrew(9, 12)
    tail.move_end(grown.end)
    text += b"more\n"
    more = b"".join(b"line %d\n" % number for number in range(30_000))
    child.print(more)
    text += more
    deadline = time.monotonic() + 10
    while found != text:
        assert time.monotonic() < deadline
        for result in logs.worker.results():
            if isinstance(result, LogRotated):
                tail.add_segment(result.start, result.fd)
            elif isinstance(result, LogGrew):
                tail.move_end(result.end)
        found += tail.read(1 << 20).data
    tail.close()
    logs.worker.forget(9)
    logs.worker.forget(12345)
    child.print(b"unheard\n")
    wait_for(lambda: logs.text("a").endswith(b"unheard\n"))
    logs.worker.ended("a", 1)
    logs.wait(Drained)
    assert not [result for result in logs.take() if isinstance(result, LogGrew)]
