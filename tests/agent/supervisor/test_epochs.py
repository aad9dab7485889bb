"""A controller that has been replaced cannot act, also after a new supervisor, and no disk stops the loop."""

import errno
import json
import os
from pathlib import Path

import pytest
from fakes.asked_disk import AskedDisk
from fakes.small_roster import some_epochs
from fleet_agent.supervisor.desires import PATIENCE_SECONDS
from fleet_agent.supervisor.epochs import Epochs
from fleet_api.errors import BadRequest, Conflict, FleetError, Unavailable


def pass_(epochs: Epochs, fleet_id: str, epoch: int) -> None:
    """A change of this epoch passes, once that is kept."""
    answers: list[FleetError | None] = []
    if not epochs.is_kept(fleet_id, epoch):
        epochs.keep(fleet_id, epoch, answers.append)
        if answers[0] is not None:
            raise answers[0]
        assert epochs.is_kept(fleet_id, epoch)


def test_an_older_epoch_is_refused_by_every_later_supervisor(tmp_path: Path) -> None:
    epochs = some_epochs(tmp_path)
    pass_(epochs, "prod", 3)
    assert epochs.is_kept("prod", 3)
    pass_(epochs, "other", 1)
    for reader in (epochs, some_epochs(tmp_path)):
        with pytest.raises(Conflict, match="epoch 2 of fleet 'prod' is over"):
            reader.is_kept("prod", 2)
        assert reader.is_kept("other", 1)


def test_no_epoch_is_no_claim(tmp_path: Path) -> None:
    epochs = some_epochs(tmp_path)
    pass_(epochs, "prod", 5)
    assert epochs.is_kept("prod", 0)


@pytest.mark.parametrize("epoch", ["3", -1, 2.5, None, True])
def test_what_is_no_epoch_is_told(tmp_path: Path, epoch: object) -> None:
    with pytest.raises(BadRequest, match="a number is expected"):
        some_epochs(tmp_path).is_kept("prod", epoch)


@pytest.mark.parametrize("content", ["", "garbage", '{"epochs": 3}', '{"epochs": {"prod": "x"}}'])
def test_a_broken_file_is_no_obstacle(tmp_path: Path, content: str) -> None:
    (tmp_path / "epochs.json").write_text(content)
    pass_(some_epochs(tmp_path), "prod", 1)


def test_an_epoch_that_cannot_be_kept_is_not_obeyed(tmp_path: Path) -> None:
    epochs = some_epochs(tmp_path / "gone")
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"epoch 1 of fleet 'prod' cannot be kept: .*No such file"):
            pass_(epochs, "prod", 1)
    (tmp_path / "gone").mkdir()
    pass_(epochs, "prod", 1)


class Disk(AskedDisk):
    """The disk of the epochs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "epochs.json")
        self.answers: list[tuple[int, str]] = []
        self.epochs = Epochs(str(self.path), self.loop, self.aside, self.said.append)

    def keep(self, epoch: int, fleet_id: str = "prod") -> None:
        def done(error: FleetError | None) -> None:
            self.answers.append((epoch, error.message if error else ""))

        assert not self.epochs.is_kept(fleet_id, epoch)
        self.epochs.keep(fleet_id, epoch, done)

    def kept(self) -> dict[str, int]:
        kept: dict[str, int] = json.loads(self.path.read_text())["epochs"]
        return kept


def test_it_counts_once_it_is_on_the_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.keep(5)
    disk.keep(5)
    # It is not known yet whether it is over.
    disk.keep(3)
    disk.keep(7)
    assert disk.answers == []
    assert len(disk.acts) == 1
    disk.act()
    assert disk.answers == [(5, ""), (5, ""), (3, "")]
    assert disk.kept() == {"prod": 5}
    with pytest.raises(Conflict):
        disk.epochs.is_kept("prod", 3)
    assert not disk.epochs.is_kept("prod", 5), "a newer one is on its way"
    assert disk.epochs.is_kept("prod", 0)
    disk.act()
    assert disk.answers[3:] == [(7, "")]
    assert disk.epochs.is_kept("prod", 7)
    assert disk.kept() == {"prod": 7}


def test_a_disk_that_fails_leaves_the_older_one_in_charge(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.keep(3)
    disk.act()
    disk.keep(5)
    disk.act(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert "cannot be kept" in disk.answers[1][1]
    assert "No space left" in disk.answers[1][1]
    assert disk.epochs.is_kept("prod", 3)
    assert not disk.epochs.is_kept("prod", 5)


def test_a_stalled_disk_is_not_waited_for_and_what_it_did_at_last_counts(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.keep(3)
    disk.act()
    disk.keep(5)
    disk.keep(6)
    disk.pass_time(PATIENCE_SECONDS)
    assert [epoch for epoch, _ in disk.answers] == [3, 5, 6]
    assert "the disk has not answered for 2 s" in disk.answers[1][1]
    assert "the disk does not answer" in disk.answers[2][1]
    disk.keep(5)
    assert "the disk does not answer" in disk.answers[3][1]
    assert len(disk.acts) == 1, "one thread waits, not one for each request"
    assert disk.epochs.is_kept("prod", 3)
    disk.act()
    with pytest.raises(Conflict):
        disk.epochs.is_kept("prod", 3)
    assert disk.epochs.is_kept("prod", 5)
    disk.keep(6)
    disk.act()
    assert (disk.kept(), disk.answers[-1]) == ({"prod": 6}, (6, ""))


def test_another_format_is_written_after_what_is_under_way(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.keep(5)
    disk.epochs.write_as(disk.epochs.version)
    assert len(disk.acts) == 1, "two at once would write the same draft"
    disk.act()
    disk.act(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert disk.said == [f"{disk.path}: No space left on device"]
    assert disk.epochs.is_kept("prod", 5)
