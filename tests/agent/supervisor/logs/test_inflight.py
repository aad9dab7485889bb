"""The in-flight journal alone; what it is good for is in test_recovery."""

import os
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

ORIGIN = Origin("g:näme", 3, "stdout", "/var/log/\udcff x.log", "id", True, 1000, 2)


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
