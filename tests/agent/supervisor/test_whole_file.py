"""A small file is there whole, or as it was."""

import os
from pathlib import Path

import pytest
from fleet_agent.supervisor.whole_file import write_whole


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
    write_whole(str(path), "one")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(str(path), "two")
    assert path.read_text() == "one"
