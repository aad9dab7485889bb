"""What the programs of an episode wrote down of themselves: one record a run, see `programs/chaotic.py`."""

import struct
from pathlib import Path
from typing import NamedTuple

from fleet_agent.keeper import procfs

_LAYOUT = struct.Struct("=9q2d")


class Record(NamedTuple):
    """One run as it saw itself. Times are on the monotonic clock; `process` ends in + for a descendant.

    `code` and `signal` tell how it meant to end; both None while it did not. `is_alive` is the kernel's word,
    `gone_by` when the test first saw that it had ended.
    """

    process: str
    number: int
    pid: int
    ticks: int
    out: int
    err: int
    terms: int
    code: int | None
    signal: int | None
    failed: int
    first: float
    last: float
    is_alive: bool
    gone_by: float = 0.0

    @property
    def is_own_end(self) -> bool:
        """Whether it ended as it meant to."""
        return self.code is not None or self.signal is not None

    @property
    def is_helper(self) -> bool:
        """Whether it is a descendant of a run."""
        return self.process.endswith("+")

    def lines(self, stream: int) -> int:
        """How many lines it printed on stdout (1) or stderr (2), the last of which may not be noted."""
        return self.out if stream == 1 else self.err

    def __str__(self) -> str:
        how = f"code {self.code}" if self.code is not None else f"signal {self.signal}"
        end = "lives" if self.is_alive else f"ended ({how}) after {self.last:.3f}"
        return f"{self.process}#{self.number} pid {self.pid} since {self.first:.3f}, {end}"


def read(folder: Path) -> list[Record]:
    """All records; one that is not filled in up to its last field yet is left out."""
    records = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        if len(data) < _LAYOUT.size:
            continue
        pid, ticks, *_, last = _LAYOUT.unpack_from(data)
        if not last:
            continue
        process, _, number = path.name.rpartition(".")
        found = procfs.stat(pid)
        # Only now: what has ended has written its last word.
        _, _, out, err, terms, _, intent, value, failed, first, last = _LAYOUT.unpack(path.read_bytes())
        records.append(
            Record(
                process,
                int(number),
                pid,
                ticks,
                out,
                err,
                terms,
                value if intent == 1 else None,
                value if intent == 2 else None,
                failed,
                first,
                last,
                found is not None and found.is_alive and found.ticks == ticks,
            )
        )
    return records
