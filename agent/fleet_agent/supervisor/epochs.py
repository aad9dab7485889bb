"""Fencing: the newest controller epoch seen of each fleet; a controller that was replaced is refused."""

import json
import os
from typing import Any

from fleet_api.errors import BadRequest, Conflict, Unavailable

from fleet_agent.formats.format import DAMAGE, State, UnknownVersion
from fleet_agent.formats.table import EPOCHS
from fleet_agent.supervisor.whole_file import read_ours, set_aside, write_whole

MAX_BYTES = 1024 * 1024


class Epochs:
    """Owns the file of epochs in the state folder."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.version = EPOCHS.version
        self.unreadable = ""
        """Why what is kept is of no use, in words."""
        self._newest: dict[str, int] = {}
        try:
            state = json.loads(read_ours(path, MAX_BYTES))
            self._newest = from_state(EPOCHS.load(state))
            self.version = EPOCHS.going_on(state[EPOCHS.key])
        except UnknownVersion as error:
            self.unreadable = str(error)
        except FileNotFoundError:
            pass
        except (OSError, *DAMAGE):
            self.unreadable = f"{path} is damaged; {set_aside(path)}"

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
            self._write(epochs)
        except OSError as error:
            # A change of an epoch that the next supervisor would not know could not be fenced.
            raise Unavailable(
                "EPOCH_NOT_KEPT",
                f"epoch {epoch} of fleet {fleet_id!r} cannot be kept: {self._path}: {error.strerror}",
                "make room on the agent's disk",
            ) from error
        self._newest = epochs

    def write_as(self, version: int) -> None:
        """Go on in this format: a supervisor is to come that reads no newer.

        Raises: OSError.
        """
        self.version = version
        if os.path.exists(self._path):
            self._write(self._newest)

    def _write(self, epochs: dict[str, int]) -> None:
        text = json.dumps(EPOCHS.dump(to_state(epochs), self.version))
        write_whole(self._path, text, is_lasting=True)


def to_state(epochs: dict[str, int]) -> State:
    """As stored."""
    return {"epochs": epochs}


def from_state(state: State) -> dict[str, int]:
    """The inverse of `to_state`.

    Raises: KeyError, TypeError or AttributeError when the state is damaged.
    """
    return {str(fleet): epoch for fleet, epoch in state["epochs"].items() if isinstance(epoch, int)}
