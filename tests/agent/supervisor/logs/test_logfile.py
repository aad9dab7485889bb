"""One log file: rotation, modes, troubles of the disk, and positions that last."""

import os
import stat
from pathlib import Path

import pytest
from fleet_agent.supervisor.logs.inflight import CHUNK_BYTES
from fleet_agent.supervisor.logs.logfile import LogFile, Surroundings
from fleet_agent.supervisor.logs.sidecar import Sidecars


class World:
    """All that a log needs, and what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "out.log"
        self.now = 0.0
        self.trouble: list[tuple[str, str, str, int]] = []
        self.told: list[str] = []
        self.rotations: list[int] = []
        self.ids = 0

    def log(self, maxbytes: int = 0, backups: int = 3, path: str = "", is_auto: bool = False) -> LogFile:
        around = Surroundings(
            sidecars=Sidecars(str(self.folder / "state"), self.told.append),
            new_id=self._new_id,
            clock=lambda: self.now,
            report=lambda *trouble: self.trouble.append(trouble),
            tell=self.told.append,
            rotated=lambda log: self.rotations.append(log.start),
            crash_at=lambda _: None,
            troubled=set(),
        )
        log = LogFile(path or str(self.path), around)
        log.configure(maxbytes, backups, is_auto)
        return log

    def _new_id(self) -> str:
        self.ids += 1
        return f"id{self.ids}"

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("out.log*"))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def put(log: LogFile, data: bytes) -> None:
    assert log.prepare(len(data))
    log.append(data)


def whole(log: LogFile) -> list[tuple[int, bytes]]:
    found = []
    for start, fd in log.open_segments():
        found.append((start, os.pread(fd, 1 << 20, 0)))
        os.close(fd)
    return found


# ---------------------------------------------------------------- rotation


def test_rotates_at_a_line_end_and_keeps_so_many(world: World) -> None:
    log = world.log(maxbytes=10, backups=2)
    for number in range(5):
        put(log, b"line %d is long\n" % number)
    assert world.names() == ["out.log", "out.log.1", "out.log.2"]
    assert (world.folder / "out.log").read_bytes() == b""
    assert (world.folder / "out.log.1").read_bytes() == b"line 4 is long\n"
    assert (world.folder / "out.log.2").read_bytes() == b"line 3 is long\n"


def test_one_chunk_may_fill_many_files(world: World) -> None:
    put(world.log(maxbytes=4, backups=9), b"aaa\nbbb\nccc\nd")
    assert [(world.folder / name).read_bytes() for name in world.names()] == [
        b"d",
        b"ccc\n",
        b"bbb\n",
        b"aaa\n",
    ]


def test_a_line_without_end_overshoots_by_a_chunk_at_most(world: World) -> None:
    log = world.log(maxbytes=1000, backups=9)
    for _ in range(5):
        put(log, b"x" * CHUNK_BYTES)
    sizes = [(world.folder / name).stat().st_size for name in world.names()]
    assert max(sizes) == 1000 + CHUNK_BYTES
    assert sum(sizes) == 5 * CHUNK_BYTES


def test_without_backups_what_was_is_gone_and_positions_run_on(world: World) -> None:
    log = world.log(maxbytes=4, backups=0)
    put(log, b"aaa\nbb")
    assert world.names() == ["out.log"]
    assert whole(log) == [(4, b"bb")]
    assert log.end == 6


def test_a_gap_among_the_backups_is_filled(world: World) -> None:
    log = world.log(maxbytes=4, backups=5)
    put(log, b"aaa\nbbb\nccc\n")
    (world.folder / "out.log.2").unlink()
    put(log, b"ddd\n")
    assert [(world.folder / name).read_bytes() for name in world.names()] == [
        b"",
        b"ddd\n",
        b"ccc\n",
        b"aaa\n",
    ]


def test_what_was_there_before_is_appended_to_and_counted(world: World) -> None:
    world.path.write_bytes(b"old\n")
    (world.folder / "out.log.1").write_bytes(b"older\n")
    (world.folder / "out.log.3").write_bytes(b"beyond a gap\n")
    log = world.log()
    put(log, b"new\n")
    log.identify()
    assert whole(log) == [(0, b"older\n"), (6, b"old\nnew\n")]


def test_a_rotation_that_is_not_possible_grows_the_file_and_is_reported(world: World) -> None:
    (world.folder / "out.log.1").mkdir()
    (world.folder / "out.log.1" / "in the way").touch()
    log = world.log(maxbytes=4, backups=1)
    for _ in range(5):
        world.now += 20
        put(log, b"aaa\n")
    assert world.path.read_bytes() == b"aaa\n" * 5
    assert {(kind, words.split(":")[0]) for kind, _, words, _ in world.trouble} == {
        ("rotation of log", "fails, and the log grows")
    }
    (world.folder / "out.log.1" / "in the way").unlink()
    (world.folder / "out.log.1").rmdir()
    world.now += 60
    put(log, b"b")
    assert (world.folder / "out.log.1").read_bytes() == b"aaa\n" * 5
    assert log.end == 21
    assert world.trouble[-1] == ("rotation of log", str(world.path), "", 0)


# ---------------------------------------------------------------- modes and odd targets


@pytest.mark.parametrize(("is_auto", "mode"), [(True, 0o600), (False, 0o640)])
def test_modes(world: World, is_auto: bool, mode: int) -> None:
    before = os.umask(0o027)
    try:
        put(world.log(is_auto=is_auto), b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(world.path.stat().st_mode) == mode


def test_devices_are_written_and_never_rotated(world: World) -> None:
    log = world.log(maxbytes=1, path="/dev/null")
    put(log, b"a\nb\nc\n")
    put(log, b"a\nb\nc\n")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert not log.look()
    assert world.trouble == []


def test_a_pipe_that_nobody_reads_is_trouble_not_a_hang(world: World) -> None:
    os.mkfifo(world.path)
    log = world.log(maxbytes=1)
    assert not log.prepare(3)
    log.lose(3)
    assert "cannot be written" in world.trouble[0][2]


# ---------------------------------------------------------------- trouble


def test_a_folder_that_is_gone_is_reported_with_all_that_is_lost_until_it_is_back(world: World) -> None:
    folder = world.folder / "deep"
    folder.mkdir()
    log = world.log(path=str(folder / "out.log"))
    put(log, b"one\n")
    (folder / "out.log").unlink()
    folder.rmdir()
    for _ in range(10):
        world.now += 1
        assert not log.prepare(4)
        log.lose(4)
    path = str(folder / "out.log")
    words = "cannot be written: No such file or directory; what is printed is lost until it can"
    assert world.trouble == [("log", path, words, lost) for _ in range(10) for lost in (0, 4)]
    folder.mkdir()
    world.now += 1
    put(log, b"two\n")
    assert (folder / "out.log").read_bytes() == b"two\n"
    assert world.trouble[20:] == [("log", path, "", 0)]


def test_a_full_disk_is_trouble(world: World) -> None:
    log = world.log(path="/dev/full")
    for _ in range(3):
        world.now += 1
        put(log, b"four")
    words = "cannot be written: No space left on device; what is printed is lost until it can"
    assert world.trouble == [("log", "/dev/full", words, 4)] * 3


def test_a_file_that_was_removed_is_made_again(world: World) -> None:
    log = world.log()
    put(log, b"one\n")
    log.identify()
    world.path.unlink()
    put(log, b"two\n")
    assert whole(log) == [(4, b"two\n")]
    assert log.log_id == "id1"
    assert world.told[0].endswith("it goes on at byte 4")


# ---------------------------------------------------------------- positions


def test_positions_survive_another_object(world: World) -> None:
    log = world.log(maxbytes=8, backups=3)
    put(log, b"aaaaaaa\nbbbbbbb\ncc")
    log.close()
    again = world.log(maxbytes=8, backups=3)
    put(again, b"c\n")
    assert again.log_id == "id1"
    assert whole(again) == [(0, b"aaaaaaa\n"), (8, b"bbbbbbb\n"), (16, b"ccc\n")]
    assert world.ids == 1


def test_truncated_by_others_goes_on_at_the_old_end(world: World) -> None:
    log = world.log()
    put(log, b"one\n")
    log.identify()
    log.followers = (1,)
    os.truncate(world.path, 0)
    put(log, b"two\n")
    assert whole(log) == [(4, b"two\n")]
    assert world.rotations == [4]
    log.close()
    os.truncate(world.path, 1)
    again = world.log()
    put(again, b"three\n")
    assert again.log_id == log.log_id
    assert whole(again) == [(8, b"tthree\n")]


def test_replaced_while_nobody_watched_is_another_log(world: World) -> None:
    log = world.log()
    put(log, b"one\n")
    log.identify()
    log.close()
    world.path.rename(world.folder / "elsewhere")
    world.path.write_bytes(b"two\n")
    again = world.log()
    put(again, b"three\n")
    again.identify()
    assert again.log_id == "id2"
    assert whole(again) == [(0, b"two\nthree\n")]


def test_rotated_by_others_and_reopened(world: World) -> None:
    log = world.log()
    put(log, b"one\n")
    log.identify()
    log.followers = (1,)
    world.path.rename(world.folder / "out.log.1")
    put(log, b"late\n")
    log.reopen()
    put(log, b"two\n")
    assert (world.folder / "out.log.1").read_bytes() == b"one\nlate\n"
    assert whole(log) == [(0, b"one\nlate\n"), (9, b"two\n")]
    assert world.rotations == [9]


def test_appended_by_others_grows(world: World) -> None:
    log = world.log()
    put(log, b"one\n")
    with world.path.open("ab") as file:
        file.write(b"theirs\n")
    put(log, b"two\n")
    assert log.end == 15
    assert world.told == []


def test_an_interrupted_rotation_is_done_when_it_is_opened_again(world: World) -> None:
    log = world.log()
    put(log, b"0123456789\n")
    log.close()
    again = world.log(maxbytes=5)
    put(again, b"new\n")
    assert world.path.read_bytes() == b"new\n"
    assert (world.folder / "out.log.1").read_bytes() == b"0123456789\n"


def test_a_segment_that_was_removed_ends_what_can_be_read(world: World) -> None:
    log = world.log(maxbytes=4, backups=3)
    put(log, b"aaa\nbbb\nccc\n")
    (world.folder / "out.log.2").unlink()
    assert whole(log) == [(8, b"ccc\n"), (12, b"")]


def test_a_record_that_cannot_be_written_is_told_and_logging_goes_on(world: World) -> None:
    (world.folder / "state").write_text("no folder")
    log = world.log(maxbytes=4)
    put(log, b"aaa\nbbb\nb")
    assert world.path.read_bytes() == b"b"
    folder = str(world.folder / "state")
    assert {(kind, path) for kind, path, *_ in world.trouble} == {("positions of logs in", folder)}
    assert all("may not outlive the agent" in words for *_, words, _ in world.trouble)
    (world.folder / "state").unlink()
    put(log, b"bbb\n")
    assert world.trouble[-1] == ("positions of logs in", folder, "", 0)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of somebody else")
class TestAProgramThatOwnsItsLogFolder:
    """What it puts in the place of its log gets neither root's hand nor anybody else's way."""

    NOBODY = 65534

    def test_a_link_to_somebody_elses_file_is_not_followed(self, world: World) -> None:
        theirs, secret = world.folder / "theirs", world.folder / "shadow"
        theirs.mkdir()
        os.chown(theirs, self.NOBODY, self.NOBODY)
        secret.write_bytes(b"hash")
        log = world.log(path=str(theirs / "out.log"))
        put(log, b"one\n")
        (theirs / "out.log").unlink()
        (theirs / "out.log").symlink_to(secret)
        os.lchown(theirs / "out.log", self.NOBODY, self.NOBODY)
        assert not log.prepare(4)
        assert secret.read_bytes() == b"hash"
        assert "a link of uid 65534 leads out of that user's folders" in world.trouble[0][2]
        with pytest.raises(PermissionError):
            log.open_current()

    def test_a_fifo_that_nobody_reads_holds_up_nothing(self, world: World) -> None:
        path = world.folder / "out.log"
        os.mkfifo(path)
        os.chown(path, self.NOBODY, self.NOBODY)
        held = os.open(path, os.O_RDWR)
        try:
            log = world.log()
            put(log, b"x" * 200_000)
            assert sum(lost for *_, lost in world.trouble) == 200_000 - len(os.read(held, 200_000))
        finally:
            os.close(held)
