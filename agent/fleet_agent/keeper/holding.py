"""All runs that the keeper holds: starts them, signals them, hears of their end, forgets them when told.

Called by the keeper's loop, one message at a time; answers are messages for the supervisor.
"""

import errno
import itertools
import os
import resource
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from fleet_agent.formats.held import RUN_RECORD
from fleet_agent.keeper import adopt, fifos, procfs, spawn
from fleet_agent.keeper.folders import FOLDERS
from fleet_agent.keeper.notes import failures, say
from fleet_agent.keeper.run_records import Run, RunRecords, stem_of
from fleet_agent.keeper.shelf import Shelf
from fleet_agent.link.messages import Exited, SendSignal, SignalFailed, Spawn, Spawned, SpawnFailed

# Left free when children have taken all else: a new supervisor must always find its few.
_RESERVED_DESCRIPTORS = 64
# The kernel lets a user have as many descriptors under way as one process may have open, and others of this
# user, our own links among them, need some too; it asks less of root.
_SHELVED_SHARE = 4
_SHELVED_SHARE_OF_ROOT = 2


class Holding:
    """The runs by process and number, living and dead, until they are released."""

    def __init__(self, runtime: str, environ: Mapping[bytes, bytes], spare: spawn.Spare) -> None:
        self._folders = [os.path.join(runtime, name) for name in FOLDERS]
        self._fifo_folder, records = self._folders
        self._records = RunRecords(records, self._fifo_folder)
        self._environ = spawn.named(environ)
        self._spare = spare
        self._boot_id = procfs.boot_id()
        self._runs: dict[tuple[str, int], Run] = {}
        self._by_pid: dict[int, Run] = {}
        # Runs whose record is older than what we know of them.
        self._unwritten: dict[Run, None] = {}
        # Those whose record could not be written: once one can be, they can.
        self._unwritable: dict[Run, None] = {}
        self._outputs = 0
        highest = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _RESERVED_DESCRIPTORS
        share = _SHELVED_SHARE if os.geteuid() else _SHELVED_SHARE_OF_ROOT
        # Not the numbers that a spawn needs low: what comes from the shelf keeps those that it takes.
        self._shelf = Shelf(highest // share, spawn.Spare())

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    @property
    def living(self) -> list[Run]:
        """Those whose end is not known yet."""
        return [run for run in self._runs.values() if run.status is None]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to hold."""
        return not self._runs

    def adopt(self) -> list[Run]:
        """Take over what is on record; the living ones are to be watched by their `pidfd`."""
        runs, problems = self._records.load()
        for problem in problems:
            say(problem)
        for run in runs:
            if adopt.take_over(run, self._boot_id):
                self._hold(run)
                self._note(run)
                self._lay_down(run)
            else:
                self._records.remove(run)
        self._sweep()
        return [run for run in self._runs.values() if run.pidfd >= 0]

    def take_over(self, runs: Iterable[Run], record_version: int | None = None) -> None:
        """Go on with what another keeper held in this process; those with a `pidfd` are to be watched.

        `record_version` is the format in which it wrote its records.
        """
        self._records.version = RUN_RECORD.going_on(record_version)
        for run in runs:
            run.boot_id = self._boot_id
            self._hold(run)
            if run.status is None and run.pidfd < 0:
                self._by_pid[run.pid] = run

    @contextmanager
    def handed_over(self) -> Iterator[list[Run]]:
        """All runs with everything on record, their ends in the table of open files meanwhile."""
        self.write_some(len(self._unwritten))
        for run in self._runs.values():
            self._pick_up(run)
        try:
            yield list(self._runs.values())
        finally:
            self.tidy()

    def tidy(self) -> None:
        """Put all ends out of the way again."""
        for run in self._runs.values():
            self._lay_down(run)

    def start(self, request: Spawn) -> tuple[Spawned, Run] | SpawnFailed | None:
        """Start a run; None when it is held already, since there is never a second copy."""
        key = (request.process, request.run)
        if key in self._runs:
            say(f"run {request.run} of {request.process} is held already; it is not started again")
            return None
        run: Run | None = None
        try:
            run = Run(
                request.process,
                request.run,
                self._stem(request.process, request.run),
                request.streams,
                self._fifo_folder,
            )
            outcome = self._start(run, request)
        except (ValueError, TypeError) as error:
            outcome = spawn.Failure("fifo", errno.EINVAL, f"cannot spawn '{request.process}': {error}")
        except OSError as error:
            outcome = spawn.of_resource(error, request.process, "fifo")
        except MemoryError:
            words = f"no memory to spawn '{request.process}'"
            outcome = spawn.Failure("fork", errno.ENOMEM, words)
        if run is None or isinstance(outcome, spawn.Failure):
            if run is not None:
                self._drop(run)
            return SpawnFailed(request.process, request.run, *outcome)
        self._hold(run)
        self._by_pid[run.pid] = run
        self._unwritten[run] = None
        return outcome, run

    @property
    def has_unwritten(self) -> bool:
        """Whether a record waits for `write_some`."""
        return bool(self._unwritten)

    def write_some(self, count: int) -> None:
        """Bring so many records up to date, and put ends out of the way: what nobody waits for."""
        for run in list(itertools.islice(self._unwritten, count)):
            del self._unwritten[run]
            self._note(run)
            self._lay_down(run)

    @contextmanager
    def lent(self, run: Run) -> Iterator[Sequence[int]]:
        """The keeper's ends of a run, for as long as it takes to pass them on."""
        self._pick_up(run)
        try:
            yield run.ends
        finally:
            self._lay_down(run)

    @property
    def record_version(self) -> int:
        """The format in which records are written."""
        return self._records.version

    def write_records_as(self, version: int) -> None:
        """Go on with the records in this format, and bring those that are there into it.

        Raises: ValueError when it cannot be written.
        """
        if version not in RUN_RECORD.writes:
            raise ValueError(f"no run record is written in format {version}")
        if version == self._records.version:
            return
        self._records.version = version
        self._unwritten.update(dict.fromkeys(self._runs.values()))

    def send_signal(self, request: SendSignal) -> SignalFailed | None:
        """Send the signal, unless the run has ended or this request was carried out before."""
        run = self._runs.get((request.process, request.run))
        if run is None or run.status is not None or request.ordinal <= run.signals:
            return None
        run.signals = request.ordinal
        failure = None
        try:
            self._kill(run, request.signal, request.to_group)
        except ProcessLookupError:
            pass
        except (OSError, ValueError) as error:
            code = error.errno if isinstance(error, OSError) and error.errno else errno.EINVAL
            failure = SignalFailed(request.process, request.run, request.signal, code)
        self._unwritten[run] = None
        return failure

    def signal_all(self, number: int) -> None:
        """Send a signal to every living run."""
        for run in self.living:
            try:
                self._kill(run, number, to_group=False)
            except OSError as error:
                say(f"cannot signal {run.process} (pid {run.pid}): {error.strerror}")

    def ended(self, pid: int, status: int) -> tuple[Run, Exited] | None:
        """Take the wait status of a child; None when the pid is of none."""
        run = self._by_pid.pop(pid, None)
        return None if run is None else self._close(run, status)

    def vanished(self, run: Run) -> tuple[Run, Exited]:
        """The end of an adopted run; its status is its new parent's to reap, and the kernel's to tell."""
        status = adopt.last_status(run)
        os.close(run.pidfd)
        run.pidfd = -1
        return self._close(run, status)

    def release(self, process: str, number: int) -> None:
        """Forget a run that has ended: close its ends, unlink what there is of it."""
        run = self._runs.get((process, number))
        if run is None:
            return
        if run.status is None:
            say(f"run {number} of {process} (pid {run.pid}) still lives; it is not released")
            return
        del self._runs[process, number]
        self._outputs -= _outputs(run.streams)
        self._unwritten.pop(run, None)
        self._unwritable.pop(run, None)
        self._drop(run)

    def leave(self) -> None:
        """Write down what the next keeper must know."""
        self.write_some(len(self._unwritten))
        for run in self._runs.values():
            if run.status is not None:
                self._note(run)
        if not self._runs:
            for folder in self._folders:
                try:
                    os.rmdir(folder)
                except OSError:
                    continue

    def _start(self, run: Run, request: Spawn) -> Spawned | spawn.Failure:
        owner = None
        if spawn.is_other_user(request) and os.geteuid() == 0 and request.uid is not None:
            owner = (request.uid, -1 if request.gid is None else request.gid)
        fifos.make(run.fifos, owner)
        run.ends = fifos.open_held(run.fifos, run.streams)
        ends = fifos.open_child(run.fifos)
        try:
            refusal = self._refusal(run, ends)
            if refusal is not None:
                return refusal
            run.boot_id = self._boot_id
            if not run.is_named_by_files:
                self._records.write(run)
            outcome = spawn.start_child(request, ends, self._environ, self._spare)
        finally:
            fifos.close(ends)
        if isinstance(outcome, spawn.Failure):
            return outcome
        run.pid = outcome
        run.started_monotonic, run.started_wall = time.monotonic(), time.time()
        return Spawned(
            run.process,
            run.run,
            run.pid,
            run.started_monotonic,
            run.started_wall,
            list(run.streams),
            run.fifos,
        )

    def _refusal(self, run: Run, ends: Sequence[int]) -> spawn.Failure | None:
        """Why a run is not started where what is left is for a new supervisor, which has to find its few."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        ours = max(ends, default=0) + self._shelf.count
        # The supervisor has an end and a log for each output.
        lent = 2 * (self._outputs + _outputs(run.streams))
        if max(ours, lent) <= limit - _RESERVED_DESCRIPTORS:
            return None
        words = (
            f"too many open files to spawn '{run.process.rpartition(':')[2]}': the agent may have {limit},"
            f" which {len(self._runs)} processes use up; LimitNOFILE= of its unit, or ulimit -n, allows more"
        )
        return spawn.Failure("limit", errno.EMFILE, words)

    def _kill(self, run: Run, number: int, to_group: bool) -> None:
        if to_group:
            os.killpg(run.pid, number)
        elif run.pidfd >= 0:
            signal.pidfd_send_signal(run.pidfd, number)
        else:
            os.kill(run.pid, number)

    def _close(self, run: Run, status: int) -> tuple[Run, Exited]:
        run.status = status
        run.ended_wall = time.time()
        return run, Exited(run.process, run.run, run.pid, status, time.monotonic(), run.ended_wall)

    def _note(self, run: Run) -> None:
        is_new = not run.ticks and run.is_named_by_files
        if not run.ticks and run.status is None:
            found = procfs.stat(run.pid)
            run.ticks = found.ticks if found else 0
        try:
            self._records.write(run, is_new)
        except OSError as error:
            self._unwritable[run] = None
            words = f"{error.strerror}; a keeper that comes after this one would know less of its processes"
            failures.fails("writing run records", words)
            return
        failures.works("writing run records")
        self._unwritten.update(self._unwritable)
        self._unwritable.clear()

    def _hold(self, run: Run) -> None:
        self._runs[run.key] = run
        self._outputs += _outputs(run.streams)

    def _lay_down(self, run: Run) -> None:
        if run.ends and self._shelf.put(run.key, run.ends):
            run.ends = ()

    def _pick_up(self, run: Run) -> None:
        if not run.ends:
            run.ends = self._shelf.take(run.key)

    def _drop(self, run: Run) -> None:
        self._pick_up(run)
        fifos.close(run.ends)
        run.ends = ()
        fifos.remove(run.fifos)
        self._records.remove(run)

    def _stem(self, process: str, number: int) -> str:
        stem = stem_of(process, number)
        # A long name is cut and marked: two of them may be alike.
        while "~" in stem and any(run.stem == stem for run in self._runs.values()):
            stem += "~"
        return stem

    def _sweep(self) -> None:
        """Remove FIFOs that belong to nothing on record."""
        known = {path for run in self._runs.values() for path in run.fifos}
        there = [f"{self._fifo_folder}/{name}" for name in os.listdir(self._fifo_folder)]
        fifos.remove([path for path in there if path not in known])


def _outputs(streams: Sequence[str]) -> int:
    return len(streams) - ("stdin" in streams)
