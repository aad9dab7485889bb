"""Fencing: the newest controller epoch seen of each fleet; a controller that was replaced is refused."""

import json
from typing import Any

from fleet_api.errors import BadRequest, Conflict, Unavailable

from fleet_agent.supervisor.whole_file import write_whole


class Epochs:
    """Owns the file of epochs in the state folder."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._newest = _read(path)

    def check(self, fleet_id: str, epoch: Any) -> None:
        """Let a change of this epoch pass, and none of an older one from now on; 0 claims no epoch.

        Raises: Conflict for an older one, BadRequest for what is no epoch, Unavailable when it cannot
        be written down.
        """
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise BadRequest("BAD_ARGUMENT", f"`epoch` is {str(epoch)[:80]}; a number is expected")
        newest = self._newest.get(fleet_id, 0)
        if not epoch or epoch == newest:
            return
        if epoch < newest:
            raise Conflict(
                "STALE_EPOCH",
                f"epoch {epoch} of fleet {fleet_id!r} is over; this host has heard of {newest}",
                "another controller is in charge; one that lost its state_dir needs a higher epoch",
            )
        epochs = {**self._newest, fleet_id: epoch}
        try:
            write_whole(self._path, json.dumps({"version": 1, "epochs": epochs}), is_lasting=True)
        except OSError as error:
            # A change of an epoch that the next supervisor would not know could not be fenced.
            raise Unavailable(
                "EPOCH_NOT_KEPT",
                f"epoch {epoch} of fleet {fleet_id!r} cannot be kept: {self._path}: {error.strerror}",
                "make room on the agent's disk",
            ) from error
        self._newest = epochs


def _read(path: str) -> dict[str, int]:
    try:
        with open(path, encoding="utf-8") as file:
            epochs = json.load(file)["epochs"]
            return {str(fleet): epoch for fleet, epoch in epochs.items() if isinstance(epoch, int)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
