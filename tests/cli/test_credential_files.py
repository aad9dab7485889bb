"""Files of keys: whole or not at all, never over something that is there."""

import os
import stat
from pathlib import Path

import pytest
from fleet_api.errors import Conflict, Denied
from fleet_cli import credential_files as files


def test_contents_and_modes_are_as_asked(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        paths = files.write(str(tmp_path), {"k": (b"1", files.KEY_MODE), "c": (b"2", files.CERTIFICATE_MODE)})
    finally:
        os.umask(before)
    assert paths == [f"{tmp_path}/k", f"{tmp_path}/c"]
    found = {path.name: (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()}
    assert found == {"k": (b"1", 0o600), "c": (b"2", 0o644)}


def test_one_existing_file_keeps_all_from_being_written(tmp_path: Path) -> None:
    (tmp_path / "b").write_text("precious")
    with pytest.raises(Conflict, match="b is there already"):
        files.write(str(tmp_path), {"a": (b"1", 0o600), "b": (b"2", 0o600)})
    assert os.listdir(tmp_path) == ["b"]
    assert (tmp_path / "b").read_text() == "precious"


def test_a_dangling_link_counts_as_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    with pytest.raises(Conflict):
        files.write(str(tmp_path), {"a": (b"1", 0o600)})


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_appears_while_writing_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    target = tmp_path / "a"
    sync = os.fsync

    def another_writer_is_faster(fd: int) -> None:
        target.write_text("precious")
        sync(fd)

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fsync", another_writer_is_faster)
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(Conflict):
        files.write(str(tmp_path), {"a": (b"1", 0o600)})
    assert os.listdir(tmp_path) == ["a"]
    assert target.read_text() == "precious"


def test_a_file_system_without_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    files.write(str(tmp_path), {"a": (b"1", 0o600)})
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(Denied, match="No such file"):
        files.write(str(tmp_path / "gone"), {"a": (b"1", 0o600)})


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_folder_open_to_writers_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(Denied, match=f"{mode:04o}"):
        files.make_folder(str(folder))


def test_a_folder_that_others_may_only_read_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "readable"
    folder.mkdir()
    folder.chmod(0o755)
    files.make_folder(str(folder))
    assert folder.stat().st_mode & 0o7777 == 0o755
