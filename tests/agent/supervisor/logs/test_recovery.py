"""A kill -9 of the log thread's process at any moment loses and doubles nothing."""

import contextlib
import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.descriptors import is_readable
from fleet_agent.supervisor.logs.inflight import Journal, Origin, encode_origin, sentinels

PROGRAMS = Path(__file__).parents[3] / "programs"
STEPS = [
    "announced",
    "read",
    "written",
    "cleared",
    "rotation announced",
    "rotation shifted",
    "rotation moved",
    "adopted",
]


class Fifo:
    """A FIFO held open for reading, as the keeper does, and written by a program."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        os.mkfifo(self.path)
        self.keep = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.hold = os.open(self.path, os.O_RDWR)

    def waiting(self) -> int:
        answer = fcntl.ioctl(self.keep, termios.FIONREAD, b"\0\0\0\0")
        return int.from_bytes(answer, sys.byteorder)

    def close(self) -> None:
        os.close(self.keep)
        os.close(self.hold)


class Bench:
    """Log hosts that come and go over the same FIFOs."""

    def __init__(self, folder: Path, fifos: int, maxbytes: int, backups: int, strip: bool = False) -> None:
        self.folder = folder
        self.runtime = folder / "run"
        self.runtime.mkdir()
        self.logs = folder / "logs"
        self.logs.mkdir()
        self.fifos = [Fifo(folder, f"fifo{number}") for number in range(fifos)]
        self.arguments = [str(maxbytes), str(backups), str(int(strip))]
        self.nest: subprocess.Popen[bytes] | None = None
        self.pid = 0
        self.others: list[subprocess.Popen[bytes]] = []

    def start_host(self, crash: str = "") -> None:
        if self.nest is None:
            fds = [fifo.keep for fifo in self.fifos]
            command = [sys.executable, "-S", str(PROGRAMS / "log_host.py")]
            command += [str(self.runtime), str(self.folder / "state"), str(self.logs / "out{}.log")]
            self.nest = subprocess.Popen(
                [*command, *self.arguments, *map(str, fds)],
                bufsize=0,
                pass_fds=fds,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={"PYTHONPATH": ":".join(sys.path)},
            )
        assert self.nest.stdin is not None
        self.nest.stdin.write(crash.encode() + b"\n")
        self.pid = int(self._hear("pid"))

    def wait_until_ended(self) -> int:
        """The exit code of the host, negative for a signal."""
        code = int(self._hear("ended"))
        self.pid = 0
        return code

    def end_host(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        assert self.wait_until_ended() == 0

    def kill_host(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        assert self.wait_until_ended() == -signal.SIGKILL

    def _hear(self, word: str) -> str:
        assert self.nest is not None
        assert self.nest.stdout is not None
        ready = is_readable(self.nest.stdout, 30)
        assert ready, f"no word {word!r}"
        heard, _, value = self.nest.stdout.readline().decode().strip().partition(" ")
        assert heard == word
        return value

    def start_writers(self, lines: int) -> None:
        for fifo in self.fifos:
            command = [sys.executable, "-S", str(PROGRAMS / "prints_lines.py"), str(fifo.path), str(lines)]
            self.others.append(subprocess.Popen(command))

    def written(self, number: int, backups: int) -> bytes:
        paths = [self.logs / f"out{number}.log.{backup}" for backup in range(backups, 0, -1)]
        paths.append(self.logs / f"out{number}.log")
        return b"".join(path.read_bytes() for path in paths if path.exists())

    def close(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
        for process in [self.nest, *self.others]:
            if process is not None:
                process.kill()
                process.communicate(timeout=20)
        for fifo in self.fifos:
            fifo.close()


@contextlib.contextmanager
def bench(
    folder: Path, fifos: int = 1, maxbytes: int = 0, backups: int = 0, strip: bool = False
) -> Iterator[Bench]:
    made = Bench(folder, fifos, maxbytes, backups, strip)
    try:
        yield made
    finally:
        made.close()


def numbers(data: bytes) -> list[int]:
    """The numbers of whole, unharmed lines."""
    found = []
    for line in data.split(b"\n")[:-1]:
        number = int(line[:9])
        assert line == b"%09d %s" % (number, b"x" * (number * 7 % 60)), line
        found.append(number)
    return found


def wait_for(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.005)


def test_random_kills_lose_and_double_no_line(tmp_path: Path) -> None:
    """FLEET_LOG_KILLS and FLEET_LOG_SEED ask for more kills, or others."""
    kills = int(os.environ.get("FLEET_LOG_KILLS", "150"))
    dice = random.Random(int(os.environ.get("FLEET_LOG_SEED", "1")))
    with bench(tmp_path, fifos=2, maxbytes=300_000, backups=100_000) as hosts:
        hosts.start_writers(100_000_000)
        for _ in range(kills):
            hosts.start_host()
            time.sleep(dice.random() ** 3 * 0.05)  # any moment, mostly an early one
            hosts.kill_host()
        for writer in hosts.others:
            writer.kill()
            writer.wait(20)
        hosts.start_host()
        hosts.end_host()
        for number in range(2):
            whole = hosts.written(number, len(os.listdir(hosts.logs)))
            # The writer's last line may have been cut by its own death.
            found = numbers(whole[: whole.rfind(b"\n") + 1])
            assert found == list(range(len(found)))
            assert len(found) > 50 * kills


@pytest.mark.parametrize(
    ("step", "backups"),
    [(step, 1000) for step in STEPS]
    + [(step, 0) for step in STEPS if step != "rotation shifted"]
    + [(step, 3) for step in STEPS if step.startswith("rotation")],
)
def test_kills_at_each_step(tmp_path: Path, step: str, backups: int) -> None:
    lines = 25_000
    with bench(tmp_path, maxbytes=20_000, backups=backups) as hosts:
        hosts.start_writers(lines)
        for ordinal in (1, 2, 5):
            hosts.start_host(f"{step}:{ordinal}")
            assert hosts.wait_until_ended() == -signal.SIGKILL
        hosts.start_host()
        hosts.others[0].wait(20)
        wait_for(lambda: hosts.fifos[0].waiting() == 0)
        hosts.end_host()
        found = numbers(hosts.written(0, backups))
        assert found == list(range(lines - len(found), lines))
        assert found or backups == 0
        if backups == 1000:
            assert len(found) == lines
        [record] = [json.loads(path.read_bytes()) for path in (tmp_path / "state" / "logs").iterdir()]
        assert record["end"] == sum(10 + number * 7 % 60 + 1 for number in range(lines))
        assert record["start"] + (hosts.logs / "out0.log").stat().st_size == record["end"]


def test_a_kill_between_escape_sequences(tmp_path: Path) -> None:
    with bench(tmp_path, strip=True) as hosts:
        text = b"\x1b[31mred\x1b[0m plain\n" * 100
        os.write(hosts.fifos[0].hold, text)
        hosts.start_host("read:1")
        assert hosts.wait_until_ended() == -signal.SIGKILL
        hosts.start_host()
        hosts.end_host()
        assert hosts.written(0, 0) == b"red plain\n" * 100


@pytest.mark.parametrize("text", [b"short\n", b"\xff\xfe", b"x" * 5000 + b"\n"])
@pytest.mark.parametrize("step", ["announced", "read", "written", "cleared"])
def test_a_kill_with_a_lone_chunk(tmp_path: Path, text: bytes, step: str) -> None:
    with bench(tmp_path) as hosts:
        os.write(hosts.fifos[0].hold, text)
        hosts.start_host(f"{step}:1")
        assert hosts.wait_until_ended() == -signal.SIGKILL
        hosts.start_host()
        hosts.end_host()
        assert hosts.written(0, 0) == text


def test_what_was_in_flight_is_written_though_the_run_never_comes_back(tmp_path: Path) -> None:
    with bench(tmp_path) as hosts:
        os.write(hosts.fifos[0].hold, b"last words\n")
        hosts.start_host("read:1")
        assert hosts.wait_until_ended() == -signal.SIGKILL
        hosts.fifos.pop().close()
        hosts.start_host()
        hosts.end_host()
        assert hosts.written(0, 0) == b"last words\n"


def test_what_others_appended_meanwhile_is_not_taken_for_ours(tmp_path: Path) -> None:
    with bench(tmp_path) as hosts:
        os.write(hosts.fifos[0].hold, b"ours\n")
        hosts.start_host("read:1")
        assert hosts.wait_until_ended() == -signal.SIGKILL
        (hosts.logs / "out0.log").write_bytes(b"theirs\n")
        hosts.start_host()
        hosts.end_host()
        assert hosts.written(0, 0) == b"theirs\nours\n"


def test_only_the_fifo_can_tell_that_a_sentinel_was_printed(tmp_path: Path) -> None:
    """A child prints the very bytes of the sentinel, and the supervisor dies before or after reading them."""
    for has_read in (False, True):
        folder = tmp_path / str(has_read)
        folder.mkdir()
        with bench(folder) as hosts:
            first = Journal(str(hosts.runtime / "inflight"), boot_id(), bytes(range(32)))
            sentinel = sentinels(bytes(range(32)))[1][:3]
            os.write(hosts.fifos[0].hold, sentinel)
            log = str(hosts.logs / "out0.log")
            origin = Origin("p:0", 1, "stdout", log, "", False, 0, 0)
            first.announce(encode_origin(origin, boot_id()), 3, -1, 0, 0, 0, 0)
            if has_read:
                assert os.readv(hosts.fifos[0].keep, [first.data[:3]]) == 3
            hosts.start_host()
            hosts.end_host()
            assert hosts.written(0, 0) == sentinel


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
