"""The in-flight journal: pure encoding, and that a kill at any moment loses and doubles nothing."""

import contextlib
import fcntl
import json
import os
import random
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fleet_agent.supervisor.logs.inflight import (
    CHUNK_BYTES,
    HEADER_BYTES,
    SENTINEL_BYTES,
    Journal,
    Origin,
    decode,
    encode_origin,
    sentinels,
)
from hypothesis import given
from hypothesis import strategies as st

PROGRAMS = Path(__file__).parents[3] / "programs"
ORIGIN = Origin("g:näme", 3, "stdout", "/var/log/\udcff x.log", "id", True, 1000, 2)
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


def journal(tmp_path: Path, boot: str = "boot") -> Journal:
    return Journal(str(tmp_path / "inflight"), boot, bytes(range(32)))


def test_nothing_is_left_behind_by_a_new_journal(tmp_path: Path) -> None:
    assert journal(tmp_path).left_behind is None


@pytest.mark.parametrize("count", [1, 5, SENTINEL_BYTES, 1000, CHUNK_BYTES])
def test_an_announced_chunk_is_found_by_the_next(tmp_path: Path, count: int) -> None:
    first = journal(tmp_path)
    first.announce(encode_origin(ORIGIN, "boot"), count, 2, 77, 66, 55, 44)
    chunk = journal(tmp_path).left_behind
    assert chunk is not None
    assert chunk.origin == ORIGIN
    assert (chunk.length, chunk.ansi_state, chunk.offset, chunk.size, chunk.device, chunk.inode) == (
        count,
        2,
        77,
        66,
        55,
        44,
    )
    assert not chunk.was_read_for_certain
    first.data[:count] = b"a" * count
    chunk = journal(tmp_path).left_behind
    assert chunk is not None
    assert chunk.was_read_for_certain
    assert chunk.data == b"a" * count


def test_a_cleared_chunk_is_not_found(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.announce(encode_origin(ORIGIN, "boot"), 10, -1, 0, 0, 0, 0)
    first.clear()
    assert journal(tmp_path).left_behind is None


def test_a_chunk_of_another_boot_is_not_found(tmp_path: Path) -> None:
    journal(tmp_path).announce(encode_origin(ORIGIN, "boot"), 10, -1, 0, 0, 0, 0)
    assert journal(tmp_path, "another").left_behind is None


def test_names_longer_than_a_header_are_refused() -> None:
    with pytest.raises(ValueError, match="journal header"):
        encode_origin(ORIGIN._replace(path="/" + "x" * HEADER_BYTES), "boot")


def test_short_sentinels_are_no_utf8() -> None:
    long, short = sentinels(os.urandom(32))
    assert len(long) == len(short) == SENTINEL_BYTES
    for byte in short:
        with pytest.raises(UnicodeDecodeError):
            bytes([byte]).decode()


def image(tmp_path: Path) -> bytes:
    journal(tmp_path).announce(encode_origin(ORIGIN, "boot"), 10, -1, 0, 0, 0, 0)
    return (tmp_path / "inflight").read_bytes()


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_header_damaged_anywhere_is_no_header(
    tmp_path_factory: pytest.TempPathFactory, at: int, flip: int
) -> None:
    whole = bytearray(image(tmp_path_factory.mktemp("j")))
    used = len(bytes(whole[:HEADER_BYTES]).rstrip(b"\0"))
    if at < used:
        whole[at] ^= flip
        assert decode(bytes(whole), "boot") is None


@given(st.binary(max_size=200))
def test_garbage_is_no_journal(garbage: bytes) -> None:
    assert decode(garbage.ljust(HEADER_BYTES + CHUNK_BYTES, b"\xff"), "boot") is None
    assert decode(garbage, "boot") is None


# ---------------------------------------------------------------- kills


class Fifo:
    """A FIFO held open for reading, as the keeper does, and written by a program."""

    def __init__(self, folder: Path, name: str) -> None:
        self.path = folder / name
        os.mkfifo(self.path)
        self.keep = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self.read = self.keep
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
        self.host: subprocess.Popen[bytes] | None = None
        self.others: list[subprocess.Popen[bytes]] = []

    def start_host(self, crash: str = "") -> subprocess.Popen[bytes]:
        fds = [fifo.read for fifo in self.fifos]
        command = [
            sys.executable,
            "-S",
            str(PROGRAMS / "log_host.py"),
            str(self.runtime),
            str(self.folder / "state"),
        ]
        command += [str(self.logs / "out{}.log"), *self.arguments, crash, *map(str, fds)]
        self.host = subprocess.Popen(
            command,
            pass_fds=fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        return self.host

    def start_writers(self, lines: int, prefix: str = "") -> None:
        for fifo in self.fifos:
            command = [
                sys.executable,
                "-S",
                str(PROGRAMS / "prints_lines.py"),
                str(fifo.path),
                str(lines),
                prefix,
            ]
            self.others.append(subprocess.Popen(command))

    def end_host(self) -> str:
        host = self.host
        assert host is not None
        out, _ = host.communicate(b"end\n", timeout=30)
        self.host = None
        return out.decode()

    def wait_until_up(self) -> None:
        assert self.host is not None
        assert self.host.stdout is not None
        ready, _, _ = select.select([self.host.stdout], [], [], 20)
        assert ready

    def kill_host(self) -> None:
        assert self.host is not None
        self.host.send_signal(signal.SIGKILL)
        self.host.communicate(timeout=20)

    def written(self, number: int, backups: int) -> bytes:
        paths = [self.logs / f"out{number}.log.{backup}" for backup in range(backups, 0, -1)]
        paths.append(self.logs / f"out{number}.log")
        return b"".join(path.read_bytes() for path in paths if path.exists())

    def close(self) -> None:
        for process in [self.host, *self.others]:
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
    backups = 100000
    with bench(tmp_path, maxbytes=300_000, backups=backups) as hosts:
        hosts.start_writers(100_000_000)
        for _ in range(kills):
            hosts.start_host()
            hosts.wait_until_up()
            time.sleep(dice.random() ** 3 * 0.02)
            hosts.kill_host()
        hosts.others[0].kill()
        hosts.others[0].wait(20)
        hosts.start_host()
        hosts.wait_until_up()
        hosts.end_host()
        whole = hosts.written(0, sum(1 for _ in hosts.logs.iterdir()))
        # The writer's last write may have been cut by its own death.
        found = numbers(whole[: whole.rfind(b"\n") + 1])
        assert found == list(range(len(found)))
        assert len(found) > 50 * kills


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("backups", [0, 3, 1000])
def test_kills_at_each_step(tmp_path: Path, step: str, backups: int) -> None:
    if step == "rotation shifted" and backups == 0:
        pytest.skip("without backups there is nothing to shift")
    lines = 50_000
    with bench(tmp_path, maxbytes=20_000, backups=backups) as hosts:
        hosts.start_writers(lines)
        for ordinal in (1, 2, 5):
            host = hosts.start_host(f"{step}:{ordinal}")
            assert host.wait(20) == -signal.SIGKILL, f"{step}:{ordinal} was never passed"
            host.communicate()
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
        assert hosts.start_host("read:1").wait(20) == -signal.SIGKILL
        hosts.start_host()
        hosts.wait_until_up()
        hosts.end_host()
        assert hosts.written(0, 0) == b"red plain\n" * 100


@pytest.mark.parametrize("text", [b"short\n", b"\xff\xfe", b"x" * 5000 + b"\n"])
@pytest.mark.parametrize("step", ["announced", "read", "written", "cleared"])
def test_a_kill_with_a_lone_chunk(tmp_path: Path, text: bytes, step: str) -> None:
    with bench(tmp_path) as hosts:
        os.write(hosts.fifos[0].hold, text)
        assert hosts.start_host(f"{step}:1").wait(20) == -signal.SIGKILL
        hosts.start_host()
        hosts.wait_until_up()
        hosts.end_host()
        assert hosts.written(0, 0) == text


def test_what_was_in_flight_is_written_though_the_run_never_comes_back(tmp_path: Path) -> None:
    with bench(tmp_path) as hosts:
        os.write(hosts.fifos[0].hold, b"last words\n")
        assert hosts.start_host("read:1").wait(20) == -signal.SIGKILL
        hosts.fifos.pop().close()
        hosts.start_host()
        hosts.wait_until_up()
        hosts.end_host()
        assert hosts.written(0, 0) == b"last words\n"


def test_what_others_appended_meanwhile_is_not_taken_for_ours(tmp_path: Path) -> None:
    with bench(tmp_path) as hosts:
        os.write(hosts.fifos[0].hold, b"ours\n")
        assert hosts.start_host("read:1").wait(20) == -signal.SIGKILL
        (hosts.logs / "out0.log").write_bytes(b"theirs\n")
        hosts.start_host()
        hosts.wait_until_up()
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
            hosts.wait_until_up()
            hosts.end_host()
            assert hosts.written(0, 0) == sentinel


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
