"""What an earlier keeper left: which runs live on, and their ends opened again.

Called by `holding` once, at the start. A run is ours when its pid, its kernel start time and the boot
agree with the record; the FIFOs tell of one that was forked just before its keeper was killed.
"""

import os
import time

from fleet_agent.keeper import fifos, procfs
from fleet_agent.keeper.run_records import Run

UNKNOWN_STATUS = -1


def take_over(run: Run, boot_id: str) -> bool:
    """Fill in what the record could not know; False when the run never started.

    A living run has a `pidfd` after this, a dead one a `status`; both have their ends, in which a
    dead run's descendants may still be writing.
    Raises: OSError when the kernel lets us not watch one that lives, or opens no ends.
    """
    run.adopted = True
    if run.pid == 0 and run.status is None:
        held = any(fifos.has_reader(path) for path in run.fifos)
        if not held:
            return False
        _identify(run, boot_id)
    _watch(run, boot_id)
    run.ends = [_open_again(run, index) for index in range(len(run.streams))]
    return True


def _identify(run: Run, boot_id: str) -> None:
    run.pid = procfs.leader_with(run.fifos)
    found = procfs.stat(run.pid) if run.pid else None
    if found is not None:
        run.ticks = found.ticks
        run.boot_id = boot_id
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - found.ticks / os.sysconf("SC_CLK_TCK")
        run.started_monotonic, run.started_wall = time.monotonic() - age, time.time() - age


def _watch(run: Run, boot_id: str) -> None:
    if run.status is not None:
        return
    if run.pid and run.boot_id == boot_id:
        refusal: OSError | None = None
        try:
            run.pidfd = os.pidfd_open(run.pid)
        except OSError as error:
            run.pidfd, refusal = -1, error
        # Asked after pidfd_open: if they agree now, the handle is of the very process.
        found = procfs.stat(run.pid)
        if refusal is not None and found is not None and found.ticks == run.ticks and found.is_alive:
            # Not to be watched is not to be dead: a second copy would be started.
            raise refusal
        is_ours = run.pidfd >= 0 and found is not None and found.ticks == run.ticks
        if is_ours and found is not None and found.is_alive:
            return
        run.status = last_status(run) if is_ours else UNKNOWN_STATUS
        if run.pidfd >= 0:
            os.close(run.pidfd)
            run.pidfd = -1
    if run.status is None:
        run.status = UNKNOWN_STATUS
    run.ended_wall = time.time()


def last_status(run: Run) -> int:
    """The wait status of an adopted run that has just ended, or `UNKNOWN_STATUS`."""
    status = procfs.status_of_dead(run.pid, run.ticks, run.pidfd)
    return UNKNOWN_STATUS if status is None else status


def _open_again(run: Run, index: int) -> int:
    stream = run.streams[index]
    sources = [run.fifos[index]]
    if run.pidfd >= 0:
        # Somebody removed the FIFO; the child itself still leads to it, or to a file of its own choice,
        # which we, who may open more, must not.
        sources.append(f"/proc/{run.pid}/fd/{fifos.STREAMS.index(stream)}")
    for source in sources:
        try:
            if not fifos.is_fifo(source):
                continue
            fd = fifos.open_held([source], [stream])[0]
            if not fifos.is_fifo(fd):
                os.close(fd)
                continue
            # An end of file is only told by poll when a writer has come and gone since.
            fifos.close(fifos.open_child([source]))
        except OSError:
            continue
        return fd
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
