"""Positions in a log are found again after kills, rotations and strangers."""

import errno
import os
from pathlib import Path

import pytest
from fleet_agent.supervisor.logs.sidecar import Record, Segment, Sidecars, reconcile

RECORD = Record("/l/ü\udcff.log", "id", 100, 7, None, 130, (Segment(0, 60, 5), Segment(60, 40, 6)))
CLOSING = RECORD._replace(length=30)


@pytest.mark.parametrize("record", [RECORD, CLOSING])
def test_a_record_survives_the_disk(tmp_path: Path, record: Record) -> None:
    sidecars = Sidecars(str(tmp_path / "logs"), print)
    assert sidecars.load(record.path) is None
    sidecars.save(record)
    assert sidecars.load(record.path) == record
    assert sidecars.load("/l/other.log") is None
    assert [path.suffix for path in (tmp_path / "logs").iterdir()] == [".json"]


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"version": 2}', b'{"version": 1}', b"[" * 100_000]
)
def test_a_damaged_record_is_none(tmp_path: Path, text: bytes) -> None:
    sidecars = Sidecars(str(tmp_path), print)
    with open(sidecars.path_of("/l/x"), "wb") as file:
        file.write(text)
    assert sidecars.load("/l/x") is None


def test_a_record_of_another_path_is_none(tmp_path: Path) -> None:
    sidecars = Sidecars(str(tmp_path), print)
    sidecars.save(RECORD)
    os.rename(sidecars.path_of(RECORD.path), sidecars.path_of("/l/x"))
    assert sidecars.load("/l/x") is None


def test_nothing_happened() -> None:
    assert reconcile(RECORD, (7, 45), None, 3) == (RECORD._replace(end=145), "")


def test_a_rotation_that_had_not_begun() -> None:
    assert reconcile(CLOSING, (7, 30), None, 3) == (RECORD, "")


@pytest.mark.parametrize("found", [None, (8, 0), (8, 99), (7, 0), (7, 29)])
def test_a_rotation_that_had_begun(found: tuple[int, int] | None) -> None:
    expected = Record(
        RECORD.path,
        "id",
        130,
        found[0] if found else 0,
        None,
        130,
        (Segment(0, 60, 5), Segment(60, 40, 6), Segment(100, 30, 7)),
    )
    assert reconcile(CLOSING, found, None, 3) == (expected, "")
    assert reconcile(CLOSING, found, None, 2) == (expected._replace(backups=expected.backups[1:]), "")
    assert reconcile(CLOSING, found, None, 0) == (expected._replace(backups=()), "")


def test_a_file_that_others_truncated_begins_at_the_old_end() -> None:
    assert reconcile(RECORD, (7, 10), None, 3) == (
        RECORD._replace(start=130, end=140, backups=()),
        "truncated",
    )


def test_a_file_that_others_rotated() -> None:
    record, words = reconcile(RECORD, (8, 5), 50, 3)
    assert words == "rotated by somebody else"
    assert record is not None
    assert (record.start, record.inode, record.backups[-1]) == (150, 8, Segment(100, 50, 7))


def test_a_file_that_others_replaced_has_no_known_position() -> None:
    assert reconcile(RECORD, (8, 5), None, 3) == (None, "replaced")


def test_without_a_descriptor_to_read_it_with_a_record_is_not_taken_for_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sidecars = Sidecars(str(tmp_path), print)

    def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "open", none_left)
    with pytest.raises(OSError, match="Too many open files"):
        sidecars.load("/srv/a.log")
