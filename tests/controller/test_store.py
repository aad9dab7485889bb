"""The controller's folder: its epoch, its lock, its endpoint."""

import json
import os
from pathlib import Path

import pytest
from fleet_api.errors import Broken, Conflict, Denied
from fleet_controller.store import StateDir


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    with pytest.raises(Denied, match=f"mode {mode:04o}: others may write there") as raised:
        StateDir(folder).lock()
    assert raised.value.hint == f"chmod 700 {folder}"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(Denied, match="belongs to uid 65534"):
        StateDir(tmp_path).lock()


def test_no_link_is_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    state = StateDir(tmp_path / "state")
    state.lock()
    (tmp_path / "state" / ".epoch.json.new").symlink_to(elsewhere)
    with pytest.raises(Denied):
        state.next_epoch()
    state.close()
    (tmp_path / "state" / "lock").unlink()
    (tmp_path / "state" / "lock").symlink_to(elsewhere)
    with pytest.raises(Denied):
        StateDir(tmp_path / "state").lock()
    assert elsewhere.read_text() == "precious"


def test_the_epoch_grows_by_one_at_each_start(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        store = StateDir(tmp_path / "state")
        store.lock()
        assert store.next_epoch() == epoch
        store.close()


def test_a_second_controller_is_kept_out(tmp_path: Path) -> None:
    first, second = StateDir(tmp_path), StateDir(tmp_path)
    first.lock()
    with pytest.raises(Conflict, match="belongs to a running fleet-controller"):
        second.lock()
    first.close()
    second.lock()
    second.close()


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"7", b"[]", b"{}", b'{"epoch": -1}', b'{"epoch": "2"}', b'{"epoch": true}']
)
def test_an_unreadable_epoch_is_never_begun_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "epoch.json").write_bytes(content)
    with pytest.raises(Broken, match=r"epoch\.json holds no epoch"):
        StateDir(tmp_path).next_epoch()
    assert (tmp_path / "epoch.json").read_bytes() == content


def test_the_endpoint_stands_in_a_file_while_it_is_served(tmp_path: Path) -> None:
    store = StateDir(tmp_path)
    store.lock()
    store.write_endpoint("127.0.0.1:7600")
    path = tmp_path / "endpoint.json"
    assert json.loads(path.read_text()) == {"version": 1, "address": "127.0.0.1:7600", "pid": os.getpid()}
    store.close()
    assert not path.exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lock"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Denied, match=r"state_dir .*/file/state: Not a directory"):
        StateDir(tmp_path / "file" / "state").lock()
