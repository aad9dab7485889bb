"""The journal over a boot: kept in the state folder at the ordered end of an agent, brought back once.

Called by `agent`. What is kept is whole and on the disk, or it is not there: the next agent goes on
numbering behind it only then, and not twice. After any other end of the host numbering begins anew.
"""

import contextlib
import os

from fleet_agent.supervisor.journal import Journal
from fleet_agent.supervisor.journal_file import Restored
from fleet_agent.supervisor.whole_file import sync_folder

_CHUNK_BYTES = 256 * 1024


def keep(folder: str, kept: str) -> None:
    """Copy a journal that nobody writes any more to `kept`, onto the disk.

    Raises: OSError; nothing is then kept.
    """
    draft = f"{kept}.draft"
    _remove(draft)
    os.mkdir(draft, 0o700)
    for name in os.listdir(folder):
        if not name.startswith("journal."):
            continue
        _copy(os.path.join(folder, name), os.path.join(draft, name), is_synced=True)
    sync_folder(draft)
    _remove(kept)
    os.rename(draft, kept)
    sync_folder(os.path.dirname(kept))


def restore(journal: Journal, folder: str, kept: str) -> tuple[Restored | None, str]:
    """What the journal of this boot or of an ordered end before it tells, and why it is not numbered on."""
    restored, trouble = journal.restore(), ""
    if os.path.isdir(kept):
        try:
            bring_back(kept, folder, is_wanted=restored is None or not restored.is_this_boot)
        except OSError as error:
            trouble = f"{kept} cannot be used: {error.strerror}"
        restored = journal.restore()
    return restored, trouble or journal.unreadable or (restored.loss if restored is not None else "")


def bring_back(kept: str, folder: str, is_wanted: bool) -> None:
    """Put what was kept into the folder of the journal, if it is wanted; it is gone from `kept` after this.

    Raises: OSError; the folder of the journal is then empty.
    """
    if not os.path.isdir(kept):
        return
    try:
        if is_wanted:
            _remove(folder)
            os.mkdir(folder, 0o700)
            for name in os.listdir(kept):
                _copy(os.path.join(kept, name), os.path.join(folder, name), is_synced=False)
        # Should it come back after the next boot, numbers would be given twice.
        _remove(kept)
        sync_folder(os.path.dirname(kept))
    except OSError:
        _remove(folder)
        os.makedirs(folder, 0o700, exist_ok=True)
        raise


# Not by shutil, which brings every compressor of the library into the memory of all supervisors.
def _copy(path: str, target: str, is_synced: bool) -> None:
    with open(path, "rb") as source, open(target, "xb") as copy:
        while data := source.read(_CHUNK_BYTES):
            copy.write(data)
        copy.flush()
        if is_synced:
            os.fsync(copy.fileno())


def _remove(folder: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
