"""A controller that has been replaced cannot act, also after a new supervisor."""

from pathlib import Path

import pytest
from fleet_agent.supervisor.epochs import Epochs
from fleet_api.errors import BadRequest, Conflict, Unavailable


def test_an_older_epoch_is_refused_by_every_later_supervisor(tmp_path: Path) -> None:
    path = str(tmp_path / "epochs.json")
    epochs = Epochs(path)
    epochs.check("prod", 3)
    epochs.check("prod", 3)
    epochs.check("other", 1)
    for reader in (epochs, Epochs(path)):
        with pytest.raises(Conflict, match="epoch 2 of fleet 'prod' is over"):
            reader.check("prod", 2)
        reader.check("other", 1)


def test_no_epoch_is_no_claim(tmp_path: Path) -> None:
    epochs = Epochs(str(tmp_path / "epochs.json"))
    epochs.check("prod", 5)
    epochs.check("prod", 0)


@pytest.mark.parametrize("epoch", ["3", -1, 2.5, None, True])
def test_what_is_no_epoch_is_told(tmp_path: Path, epoch: object) -> None:
    with pytest.raises(BadRequest, match="a number is expected"):
        Epochs(str(tmp_path / "epochs.json")).check("prod", epoch)


@pytest.mark.parametrize("content", ["", "garbage", '{"epochs": 3}', '{"epochs": {"prod": "x"}}'])
def test_a_broken_file_is_no_obstacle(tmp_path: Path, content: str) -> None:
    path = tmp_path / "epochs.json"
    path.write_text(content)
    Epochs(str(path)).check("prod", 1)


def test_an_epoch_that_cannot_be_kept_is_not_obeyed(tmp_path: Path) -> None:
    epochs = Epochs(str(tmp_path / "gone" / "epochs.json"))
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"epoch 1 of fleet 'prod' cannot be kept: .*No such file"):
            epochs.check("prod", 1)
    (tmp_path / "gone").mkdir()
    epochs.check("prod", 1)
