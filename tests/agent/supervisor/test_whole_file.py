"""A small file is there whole, or as it was."""

import os
from pathlib import Path

import pytest
from fleet_agent.supervisor.whole_file import remove_whole, write_whole


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_stands_in_the_drafts_place_is_neither_used_nor_followed(tmp_path: Path, kind: str) -> None:
    theirs, draft = tmp_path / "theirs", tmp_path / "pid.draft"
    theirs.write_text("theirs")
    draft.symlink_to(theirs) if kind == "link" else os.link(theirs, draft)
    write_whole(str(tmp_path / "pid"), "1")
    assert (tmp_path / "pid").read_text() == "1"
    assert theirs.read_text() == "theirs"
    assert not draft.exists()


def test_a_file_is_made_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "epoch.json"
    write_whole(str(path), "one")
    reader = path.open()
    write_whole(str(path), "two ä")
    assert path.read_text(encoding="utf-8") == "two ä"
    assert reader.read() == "one", "who has it open goes on with what it was"
    reader.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["epoch.json"]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "epoch.json"
    write_whole(str(path), "one", is_lasting=True)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(str(path), "two", is_lasting=True)
    assert path.read_text() == "one"


def test_only_what_must_last_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    write_whole(str(tmp_path / "pid"), "7")
    assert synced == []
    write_whole(str(tmp_path / "epoch"), "7", is_lasting=True)
    assert len(synced) == 2, "the file and its folder"


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    # A pidfile of /dev/null is common in containers, where root could replace and remove it.
    device = tmp_path / "null"
    os.mkfifo(device)
    reader = os.open(device, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(str(device), "7")
    assert os.read(reader, 10) == b"7"
    os.close(reader)
    remove_whole(str(device))
    assert [entry.name for entry in tmp_path.iterdir()] == ["null"]
    assert device.is_fifo()


def test_a_file_is_taken_away_once(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    write_whole(str(path), "7")
    remove_whole(str(path))
    assert not path.exists()
    remove_whole(str(path))
