"""One run of the command with everything that comes from outside: streams, environment, clock, ids.

`main` makes it from the real ones; tests bring their own.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TextIO

from fleet_api.errors import FleetError
from fleet_api.rows import ErrorRow

from fleet_cli.retry import Retry
from fleet_cli.terminal import Terminal


class Invocation(NamedTuple):
    """`clock` is monotonic, `wall` in seconds since the epoch; `new_id` gives a fresh unique text."""

    environ: Mapping[str, str]
    uid: int
    user: str
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    terminal: Terminal
    clock: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], None]
    new_id: Callable[[], str]

    def print(self, text: str) -> None:
        """Data, on stdout."""
        if text:
            self.stdout.write(text + "\n")

    def tell(self, text: str) -> None:
        """Anything else, on stderr, behind the data so far."""
        if text:
            self.stdout.flush()
            self.stderr.write(text + "\n")
            self.stderr.flush()

    def tell_error(self, error: FleetError | ErrorRow) -> None:
        """What is wrong and what to do about it."""
        from fleet_cli.views.text import shown

        row = error.to_wire() if isinstance(error, FleetError) else error
        self.tell(f"error: {shown(row['message'])}")
        if row["hint"]:
            self.tell(f"hint: {shown(row['hint'])}")

    def retry(self) -> Retry:
        """Fresh patience."""
        return Retry(self.clock, self.sleep)
