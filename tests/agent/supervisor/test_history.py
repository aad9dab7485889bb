"""The journal is kept over a boot whole or not at all, and brought back once."""

from pathlib import Path

import pytest
from fleet_agent.core.model import Process, State
from fleet_agent.supervisor import history
from fleet_agent.supervisor.journal import Change, Journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal that an agent has left in order, at change 3."""
    path = tmp_path / "run" / "journal"
    path.mkdir(parents=True)
    journal = Journal(str(path), "boot-1", print)
    journal.begin("inc", 0, {"a:a": Process()})
    for number in range(1, 4):
        journal.append([Change(number, 1.0, "a:a", "STOPPED", "", Process(State.RUNNING))], dict)
    journal.leave()
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_comes_back_after_a_boot_and_only_once(tmp_path: Path, folder: Path) -> None:
    kept = tmp_path / "journal"
    (folder / "draft.journal").write_bytes(b"half")
    history.keep(str(folder), str(kept))
    whole = contents(kept)
    assert set(whole) == {"journal.1"}
    again = tmp_path / "new"
    again.mkdir()
    history.bring_back(str(kept), str(again), is_wanted=True)
    assert contents(again) == whole
    assert not kept.exists()
    restored = Journal(str(again), "boot-2", print).restore()
    assert restored is not None
    assert (restored.incarnation, restored.sequence, restored.loss) == ("inc", 3, "")
    history.bring_back(str(kept), str(folder), is_wanted=True)
    assert (folder / "journal.1").exists(), "nothing was kept: what is there stays"


def test_what_is_kept_takes_the_place_of_what_was_kept(tmp_path: Path, folder: Path) -> None:
    kept = tmp_path / "journal"
    kept.mkdir()
    (kept / "journal.9").write_text("old")
    (tmp_path / "journal.draft").mkdir()
    (tmp_path / "journal.draft" / "journal.8").write_text("older")
    history.keep(str(folder), str(kept))
    assert set(contents(kept)) == {"journal.1"}
    assert not (tmp_path / "journal.draft").exists()


def test_what_is_not_wanted_is_removed(tmp_path: Path, folder: Path) -> None:
    kept, before = tmp_path / "journal", contents(folder)
    history.keep(str(folder), str(kept))
    history.bring_back(str(kept), str(folder), is_wanted=False)
    assert contents(folder) == before
    assert not kept.exists()


def test_what_cannot_be_removed_is_not_used(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "journal"
    history.keep(str(folder), str(kept))

    def refuse(path: str) -> None:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(history, "sync_folder", refuse)
    with pytest.raises(OSError, match="Read-only"):
        history.bring_back(str(kept), str(folder), is_wanted=True)
    assert contents(folder) == {}


def test_what_cannot_be_kept_leaves_nothing_half(tmp_path: Path, folder: Path) -> None:
    (folder / "journal.8").mkdir()
    with pytest.raises(OSError):
        history.keep(str(folder), str(tmp_path / "journal"))
    assert not (tmp_path / "journal").exists()
