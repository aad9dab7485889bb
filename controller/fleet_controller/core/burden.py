"""What one agent may lay upon the controller's memory: a host that was broken into must not cost the others.

Sizes come in, in bytes; called by `session` for each message of a watch stream.
"""

from fleet_api.errors import Broken

MAX_HOST_BYTES = 16 * 1024 * 1024
"""Some twenty-five thousand processes of the usual kind."""
MAX_ROW_BYTES = 64 * 1024
"""Of one process, and of a message that tells of none."""
ROW_COST = 256
"""What a row costs besides its text."""

TELLS_TOO_MUCH = "HOST_TELLS_TOO_MUCH"


class Burden:
    """The weight of one host: what is held, and what of a snapshot has arrived."""

    def __init__(self, held: int = 0) -> None:
        self._held = held
        self._arriving = 0

    def snapshot_part(self, sizes: list[int], is_last: bool) -> None:
        """Rows of these sizes have come; with the last part they take the place of all that was held.

        Raises: Broken.
        """
        for size in sizes:
            check_row(size)
        self._arriving += sum(sizes) + ROW_COST * len(sizes)
        self._check()
        if is_last:
            self._held, self._arriving = self._arriving, 0

    def change(self, old_size: int | None, new_size: int | None) -> None:
        """A row takes the place of another; None where there is none.

        Raises: Broken.
        """
        check_row(new_size or 0)
        for size, sign in ((old_size, -1), (new_size, 1)):
            if size is not None:
                self._held += sign * (size + ROW_COST)
        self._check()

    def _check(self) -> None:
        if self._held + self._arriving > MAX_HOST_BYTES:
            raise _too_much(f"more than {MAX_HOST_BYTES} bytes of processes")


def check_row(size: int) -> None:
    """Raises: Broken when one row, or a message without rows, is larger than any sane one."""
    if size > MAX_ROW_BYTES:
        raise _too_much(f"a message of {size} bytes; the limit is {MAX_ROW_BYTES}")


def _too_much(what: str) -> Broken:
    return Broken(
        TELLS_TOO_MUCH,
        f"the agent tells too much: {what}; what it told is dropped",
        "look at that host: is its agent the one that you installed?",
    )
