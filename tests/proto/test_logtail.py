"""A log is read to its end over rotations, from any cursor, and gaps are told."""

import os
from pathlib import Path

import pytest
from fleet_api.errors import BadRequest
from fleet_api.logtail import Chunk, Cursor, LogTail
from hypothesis import given
from hypothesis import strategies as st


def segments(folder: Path, *parts: bytes, first: int = 0) -> tuple[list[tuple[int, int]], int]:
    """Files that hold the parts, as an agent hands them out, and the end of the log."""
    found = []
    start = first
    for number, part in enumerate(parts):
        path = folder / f"segment{number}"
        path.write_bytes(part)
        found.append((start, os.open(path, os.O_RDONLY)))
        start += len(part)
    return found, start


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def read_all(tail: LogTail, step: int = 1000) -> bytes:
    data = b""
    while chunk := tail.read(step).data:
        assert len(chunk) <= step
        data += chunk
    return data


def test_reads_over_all_segments_and_closes_the_passed(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"one\n", b"two\n", b"three\n", first=100)
    tail = LogTail("log", found, end)
    assert tail.read(3) == Chunk(100, b"one", 0)
    assert tail.read(50) == Chunk(103, b"\n", 0)
    assert tail.read(50) == Chunk(104, b"two\n", 0)
    assert tail.read(50) == Chunk(108, b"three\n", 0)
    assert tail.read(50) == Chunk(114, b"", 0)
    assert tail.cursor.offset == tail.end
    assert tail.cursor == Cursor("log", 114)
    assert [is_open(fd) for _, fd in found] == [False, False, True]
    tail.close()
    assert not is_open(found[2][1])


def test_begins_at_the_last_bytes(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123", b"4567")
    tail = LogTail("log", found, end, last_bytes=6)
    assert read_all(tail) == b"234567"
    tail.close()


def test_more_last_bytes_than_there_are_are_all(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123", first=50)
    tail = LogTail("log", found, end, last_bytes=600)
    assert tail.read(100) == Chunk(50, b"0123", 0)
    tail.close()


def test_goes_on_at_a_cursor(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123", b"4567")
    tail = LogTail("log", found, end, cursor=Cursor("log", 5), last_bytes=1)
    assert tail.note == ""
    assert tail.read(100) == Chunk(5, b"567", 0)
    tail.close()


def test_says_what_is_lost_before_the_oldest_byte(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123", b"4567", first=1000)
    tail = LogTail("log", found, end, cursor=Cursor("log", 400))
    assert tail.read(100) == Chunk(1000, b"0123", 600)
    assert tail.read(100) == Chunk(1004, b"4567", 0)
    tail.close()


def test_a_cursor_of_another_log_is_told(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123", b"4567")
    tail = LogTail("log", found, end, cursor=Cursor("other", 7))
    assert "replaced" in tail.note
    assert read_all(tail) == b"01234567"
    tail.close()
    found, end = segments(tmp_path, b"0123", b"4567")
    tail = LogTail("log", found, end, cursor=Cursor("other", 1), last_bytes=2)
    assert read_all(tail) == b"67"
    tail.close()


def test_a_cursor_past_the_end_is_told(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123")
    tail = LogTail("log", found, end, cursor=Cursor("log", 9))
    assert "ends at byte 4" in tail.note
    assert tail.read(10) == Chunk(4, b"", 0)
    tail.close()


def test_follows_growth_and_rotation(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123")
    tail = LogTail("log", found, end, last_bytes=0)
    assert tail.read(10).data == b""
    with open(tmp_path / "segment0", "ab") as file:
        file.write(b"45")
    assert tail.read(10).data == b""
    tail.move_end(6)
    (tmp_path / "new").write_bytes(b"67")
    tail.add_segment(6, os.open(tmp_path / "new", os.O_RDONLY))
    tail.move_end(8)
    tail.move_end(3)
    assert tail.end == 8
    assert tail.read(10) == Chunk(4, b"45", 0)
    assert tail.read(10) == Chunk(6, b"67", 0)
    tail.close()


def test_a_known_end_that_is_not_there_yet_waits(tmp_path: Path) -> None:
    found, _ = segments(tmp_path, b"0123")
    tail = LogTail("log", found, 10)
    assert tail.read(100).data == b"0123"
    assert tail.read(100) == Chunk(4, b"", 0)
    (tmp_path / "new").write_bytes(b"456789")
    tail.add_segment(4, os.open(tmp_path / "new", os.O_RDONLY))
    assert tail.read(100) == Chunk(4, b"456789", 0)
    tail.close()


def test_a_file_cut_short_is_lost_bytes(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"01234567", b"89")
    os.truncate(tmp_path / "segment0", 3)
    tail = LogTail("log", found, end)
    assert tail.read(100) == Chunk(0, b"012", 0)
    assert tail.read(100) == Chunk(8, b"89", 5)
    tail.close()


@given(
    parts=st.lists(st.binary(min_size=1, max_size=30), min_size=1, max_size=6),
    step=st.integers(1, 40),
    last=st.integers(0, 200),
)
def test_any_tail_is_the_end_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], step: int, last: int
) -> None:
    found, end = segments(tmp_path_factory.mktemp("log"), *parts)
    tail = LogTail("log", found, end, last_bytes=last)
    whole = b"".join(parts)
    assert read_all(tail, step) == whole[max(0, len(whole) - last) :]
    tail.close()


@pytest.mark.parametrize(
    "reply",
    [
        {},
        {"log_id": "x", "segments": [], "end": 0},
        {"log_id": "x", "segments": [{"start": 0}, {"start": 5}], "end": 9},
        {"log_id": 1, "segments": [{"start": 0}], "end": 9},
        {"log_id": "x", "segments": [{"start": -1}], "end": 9},
        {"log_id": "x", "segments": [{"start": True}], "end": 9},
        {"log_id": "x", "segments": [{"start": 10}], "end": 9},
        {"log_id": "x", "segments": [{"start": "0"}], "end": 9},
        {"log_id": "x", "segments": 7, "end": 9},
    ],
)
def test_a_malformed_reply_is_refused_and_its_descriptors_closed(reply: dict[str, object]) -> None:
    fd = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(BadRequest) as caught:
        LogTail.from_reply(reply, [fd])
    assert caught.value.code == "BAD_LOG_SEGMENTS"
    assert not is_open(fd)


def test_a_reply_of_the_door_is_taken(tmp_path: Path) -> None:
    found, end = segments(tmp_path, b"0123", b"4567")
    reply = {"log_id": "x", "segments": [{"start": start} for start, _ in found], "end": end}
    tail = LogTail.from_reply(reply, [fd for _, fd in found], last_bytes=5)
    assert read_all(tail) == b"34567"
    with pytest.raises(BadRequest, match="after the one"):
        tail.add_segment(2, os.open("/dev/null", os.O_RDONLY))
    tail.close()
