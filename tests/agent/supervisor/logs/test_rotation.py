"""Where a log file is full, and the renames."""

import os
from pathlib import Path

import pytest
from fleet_agent.supervisor.logs.inflight import CHUNK_BYTES
from fleet_agent.supervisor.logs.rotation import cut, shift, size_of_backup
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.pure
@pytest.mark.parametrize(
    ("data", "size", "expected"),
    [
        (b"abc\ndef\n", 0, (8, False)),
        (b"abc\ndef\n", 92, (8, True)),
        (b"abc\ndef\n", 97, (4, True)),
        (b"abc\ndef\n", 96, (4, True)),
        (b"abc\ndef\n", 95, (8, True)),
        (b"abcdef", 97, (6, False)),
        (b"def\nabc\n", 150, (4, True)),
        (b"x" * CHUNK_BYTES, 99, (CHUNK_BYTES, False)),
        (b"x" * CHUNK_BYTES, 101, (CHUNK_BYTES - 1, True)),
        (b"xyz", 100 + CHUNK_BYTES, (0, True)),
        (b"xyz", 500 + CHUNK_BYTES, (0, True)),
    ],
)
def test_where_a_file_is_full(data: bytes, size: int, expected: tuple[int, bool]) -> None:
    assert cut(data, 0, size, 100) == expected


@pytest.mark.pure
@given(
    st.lists(st.binary(max_size=300).map(lambda data: data.replace(b"a", b"\n")), max_size=20),
    st.integers(1, 400),
)
def test_cutting_keeps_all_bytes_and_whole_lines(chunks: list[bytes], maxbytes: int) -> None:
    files = [b""]
    for chunk in chunks:
        position = 0
        while position < len(chunk):
            upto, is_full = cut(chunk, position, len(files[-1]), maxbytes)
            files[-1] += chunk[position:upto]
            position = upto
            if is_full:
                files.append(b"")
    assert b"".join(files) == b"".join(chunks)
    for file in files[:-1]:
        assert file.endswith(b"\n")
        assert len(file) >= maxbytes
        assert b"\n" not in file[maxbytes - 1 : -1]


class Broken(Exception):
    pass


@pytest.mark.parametrize("steps", range(6))
def test_a_shift_that_was_broken_off_is_finished_by_the_next(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "log"
    path.write_text("0")
    for number in range(1, 5):
        (tmp_path / f"log.{number}").write_text(str(number))
    left = steps

    def passed(_step: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Broken

    try:
        shift(str(path), 5, passed)
    except Broken:
        shift(str(path), 5, lambda _: None)
    found = {other.name: other.read_text() for other in tmp_path.iterdir()}
    assert found == {f"log.{number + 1}": str(number) for number in range(5)}


def test_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for content in "abcd":
        path.write_text(content)
        shift(str(path), 2, lambda _: None)
    assert {other.name: other.read_text() for other in tmp_path.iterdir()} == {"log.1": "d", "log.2": "c"}
    path.write_text("e")
    shift(str(path), 0, lambda _: None)
    assert not path.exists()
    assert (tmp_path / "log.1").read_text() == "d"


def test_a_backup_is_found_by_its_inode(tmp_path: Path) -> None:
    (tmp_path / "log.2").write_text("four")
    inode = os.stat(tmp_path / "log.2").st_ino
    assert size_of_backup(str(tmp_path / "log"), inode, 3) == 4
    assert size_of_backup(str(tmp_path / "log"), inode, 1) is None
    assert size_of_backup(str(tmp_path / "log"), inode + 1, 3) is None
