"""Fencing: the newest controller epoch seen of each fleet; a controller that was replaced is refused.

A new epoch is on the disk before a change of it is acted on: one that the next supervisor would not know
could not be fenced. Called by `requests`; the writing is done aside, for a disk may stall.
"""

import json
import os
from collections import deque
from collections.abc import Callable
from typing import Any

from fleet_api.errors import BadRequest, Conflict, FleetError, Unavailable

from fleet_agent.formats.format import DAMAGE, State, UnknownVersion
from fleet_agent.formats.table import EPOCHS
from fleet_agent.supervisor.desires import PATIENCE_SECONDS, Aside
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.whole_file import read_ours, set_aside, write_whole

MAX_BYTES = 1024 * 1024

Done = Callable[[FleetError | None], None]
"""Called with why an epoch could not be kept, or None."""


class Epochs:
    """Owns the file of epochs in the state folder; new ones are written one after the other."""

    def __init__(self, path: str, loop: Loop, aside: Aside, report: Callable[[str], None]) -> None:
        self._path = path
        self._loop = loop
        self._aside = aside
        self._report = report
        self.version = EPOCHS.version
        self.unreadable = ""
        """Why what is kept is of no use, in words."""
        self._newest: dict[str, int] = {}
        self._waiting: deque[tuple[str, int, Done]] = deque()
        self._is_writing = False
        self._is_stalled = False
        # Whether the file is yet to be brought into another format.
        self._is_behind = False
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

    def is_kept(self, fleet_id: str, epoch: Any) -> bool:
        """Whether a change of this epoch may pass now; else ask again after `keep`. 0 claims no epoch.

        Raises: Conflict for an epoch that is over, BadRequest for what is none.
        """
        if not isinstance(epoch, int) or isinstance(epoch, bool) or epoch < 0:
            raise BadRequest("BAD_ARGUMENT", f"`epoch` is {str(epoch)[:80]}; a number is expected")
        newest = self._newest.get(fleet_id, 0)
        if 0 < epoch < newest:
            raise Conflict(
                "STALE_EPOCH",
                f"epoch {epoch} of fleet {fleet_id!r} is over; this host has heard of {newest}",
                "another controller is in charge; one that lost its state_dir needs a higher epoch",
            )
        # Whoever comes behind a newer one waits to hear what becomes of that.
        return not epoch or (epoch == newest and all(waiting[0] != fleet_id for waiting in self._waiting))

    def keep(self, fleet_id: str, epoch: int, done: Done) -> None:
        """Have an epoch on the disk, if there is no newer one, and call `done`: Unavailable if it is not.

        No change of an older one passes from then on.
        """
        self._waiting.append((fleet_id, epoch, done))
        self._next()

    def write_as(self, version: int) -> None:
        """Go on in this format, and bring the file into it: a supervisor is to come that reads no newer."""
        self.version = version
        self._is_behind = self._is_writing or self._is_stalled or os.path.exists(self._path)
        self._next()

    def _next(self) -> None:
        while not self._is_writing:
            if self._is_behind and not self._is_stalled:
                self._write(self._newest, self._report)
            elif not self._waiting:
                return
            elif self._waiting[0][1] <= self._newest.get(self._waiting[0][0], 0):
                self._waiting.popleft()[2](None)
            elif self._is_stalled:
                self._refuse("the disk does not answer")
            else:
                fleet_id, epoch, _ = self._waiting[0]
                self._write({**self._newest, fleet_id: epoch}, self._refuse)

    def _write(self, epochs: dict[str, int], fail: Callable[[str], None]) -> None:
        def late() -> None:
            self._is_writing, self._is_stalled = False, True
            fail(f"{self._path}: the disk has not answered for {PATIENCE_SECONDS:g} s")
            self._next()

        def written(error: OSError | None) -> None:
            alarm.cancel()
            is_late, self._is_writing, self._is_stalled = self._is_stalled, False, False
            if error is None:
                # Also when nobody waits for it any more: the next supervisor will go by it.
                self._newest = epochs
            elif not is_late:
                fail(f"{self._path}: {error.strerror}")
            self._next()

        self._is_writing, self._is_behind = True, False
        alarm = self._loop.after(PATIENCE_SECONDS, late)
        text = json.dumps(EPOCHS.dump(to_state(epochs), self.version))
        self._aside(lambda: write_whole(self._path, text, is_lasting=True), written)

    def _refuse(self, problem: str) -> None:
        fleet_id, epoch, done = self._waiting.popleft()
        words = f"epoch {epoch} of fleet {fleet_id!r} cannot be kept: {problem}"
        done(Unavailable("EPOCH_NOT_KEPT", words, "see to the agent's disk, or make room on it"))


def to_state(epochs: dict[str, int]) -> State:
    """As stored."""
    return {"epochs": epochs}


def from_state(state: State) -> dict[str, int]:
    """The inverse of `to_state`.

    Raises: KeyError, TypeError or AttributeError when the state is damaged.
    """
    return {str(fleet): epoch for fleet, epoch in state["epochs"].items() if isinstance(epoch, int)}
