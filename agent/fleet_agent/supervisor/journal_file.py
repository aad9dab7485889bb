"""One file of the journal as it is read: what it tells of every process, and its changes one by one.

Called by `journal`, which has the picture of it, and by whoever asks whether a file can be read at all.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from fleet_agent.core.model import Process
from fleet_agent.formats.format import State
from fleet_agent.formats.table import JOURNAL
from fleet_agent.supervisor.whole_file import open_ours

Line = State | list[State]

MAX_BYTES = 64 * 1024 * 1024
"""No file of the journal grows so large."""

# How a line of changes looks; `"` does not stand like this inside of a text.
_FIRST = b'[{"n":'
_NEXT = b'},{"n":'


class Restored(NamedTuple):
    """What the journal of an earlier supervisor tells.

    `loss` says why it may lack changes that were told, and is empty when it does not; `began` says why its
    incarnation began.
    """

    incarnation: str
    sequence: int
    processes: dict[str, Process]
    has_left: bool
    is_this_boot: bool
    loss: str
    began: str

    @property
    def lives_on(self) -> bool:
        """Whether what it tells of goes on: nobody has stopped it all, and the host was not booted since."""
        return self.is_this_boot and not self.has_left


def replay(path: str, boot_id: str) -> Restored | None:
    """What a file tells; None when it tells nothing at all.

    Raises: UnknownVersion for a format that cannot be read; one of DAMAGE for what nobody of a known
    version wrote.
    """
    torn: list[str] = []
    found = entries(path, torn=torn)
    header = next(found, None)
    if header is None:
        return None
    processes: dict[str, Process] = {}
    has_left = False
    incarnation, sequence = str(header["incarnation"]), int(header["sequence"])
    for entry in found:
        if "left" in entry:
            has_left = True
        elif entry.get("gone"):
            processes.pop(entry["id"], None)
        else:
            processes[entry["id"]] = Process.from_state(entry["p"])
        sequence = entry.get("n", sequence)
    loss = "; ".join(torn)
    is_this_boot = header["boot"] == boot_id
    began = str(header.get("began", ""))
    return Restored(incarnation, sequence, processes, has_left, is_this_boot, loss, began)


def version_of(path: str) -> object:
    """The format that a file says to be in.

    Raises: OSError, or one of DAMAGE.
    """
    with open_ours(path, MAX_BYTES) as file:
        return json.loads(file.readline())[JOURNAL.key]


def entries(path: str, after: int = 0, torn: list[str] | None = None) -> Iterator[State]:
    """The header, and whatever a file tells after it, entry by entry."""
    for line in lines(path, after, torn):
        if isinstance(line, dict):
            yield line
        else:
            yield from line


def lines(path: str, after: int = 0, torn: list[str] | None = None) -> Iterator[Line]:
    """The whole lines of a file, without some that hold no change after this number.

    What follows a torn line is passed over, which `torn` is told.
    """
    version: int | None = None
    with contextlib.suppress(FileNotFoundError), open_ours(path, MAX_BYTES) as file:
        for text in file:
            if ends_by(text, after):
                continue
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if line is None or not text.endswith(b"\n"):
                if torn is not None:
                    torn.append(f"{os.path.basename(path)} of the journal was torn")
                return
            if version is None:
                version = JOURNAL.check(line[JOURNAL.key])
                yield JOURNAL.load(line)
            elif isinstance(line, list):
                yield [JOURNAL.newest(entry, version) for entry in line]
            else:
                yield JOURNAL.newest(line, version)


def ends_by(text: bytes, after: int) -> bool:
    """Whether a line of changes holds none after this number, told by its looks: reading it all is slow."""
    if not after or not text.startswith(_FIRST):
        return False
    first = text[len(_FIRST) : text.find(b",")]
    return first.isdigit() and int(first) + text.count(_NEXT) <= after
