"""What a killed supervisor left in the in-flight journal, brought to its log. Called by `worker`.

The argument why nothing is lost or doubled is in `inflight`.
"""

from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs import ansi
from fleet_agent.supervisor.logs.inflight import UNKNOWN_OFFSET, InFlight
from fleet_agent.supervisor.logs.library import Library
from fleet_agent.supervisor.logs.logfile import LogFile


def recover(chunk: InFlight, library: Library) -> int:
    """Write what of a chunk that was read is not in its log yet; gives the bytes written."""
    origin = chunk.origin
    log = library.open(LogSpec(origin.path, origin.is_auto, origin.maxbytes, origin.backups))
    data = chunk.data
    if chunk.ansi_state >= 0:
        data = ansi.strip(data, chunk.ansi_state)[0]
    try:
        rest = data[_written(chunk, data, log) :]
        if not rest:
            return 0
        if log.prepare(len(rest)):
            log.append(rest)
        else:
            log.lose(len(rest))
        return len(rest)
    finally:
        library.close(log)


def _written(chunk: InFlight, data: bytes, log: LogFile) -> int:
    """How many bytes of `data` the log holds already."""
    if chunk.offset == UNKNOWN_OFFSET or not log.is_regular:
        return 0
    if chunk.origin.log_id == log.log_id:
        grown = log.end - chunk.offset
    elif (chunk.device, chunk.inode) == (log.device, log.inode):
        grown = log.size - chunk.size  # its record was lost with the state folder
    else:
        return 0
    grown = max(0, min(grown, len(data)))
    if grown and chunk.offset >= log.start:
        # Others may have appended, too: only what is equal is ours.
        try:
            found = log.read_written(chunk.offset, grown)
        except OSError:
            return grown
        pairs = zip(found, data, strict=False)
        return next((index for index, (one, other) in enumerate(pairs) if one != other), len(found))
    return grown
