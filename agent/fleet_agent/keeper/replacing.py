"""Has the keeper of another version take this one's place, in the same process. Owned by `keeper`."""

import os
import signal

from fleet_agent.formats.held import HANDOVER, RUN_RECORD
from fleet_agent.keeper.folders import Locks
from fleet_agent.keeper.holding import Holding
from fleet_agent.keeper.notify import ServiceManager
from fleet_agent.keeper.offices import Gateways
from fleet_agent.keeper.run_records import Run
from fleet_agent.keeper.succession import Succession, SupervisorLeft, replace_process, write
from fleet_agent.keeper.supervisors import Supervisors


class Replacing:
    """Gathers what a keeper leaves to the next one, in the formats that this one reads."""

    def __init__(
        self,
        holding: Holding,
        supervisors: Supervisors,
        gateways: Gateways,
        locks: Locks,
        manager: ServiceManager,
    ) -> None:
        self._holding = holding
        self._supervisors = supervisors
        self._gateways = gateways
        self._locks = locks
        self._manager = manager
        self._version = HANDOVER.version

    def take_over(self, left: Succession) -> None:
        """Learn what the keeper that was in this process before knew; nothing in the world changes yet."""
        self._version = HANDOVER.going_on(left.formats.get(HANDOVER.name))
        self._holding.take_over(left.runs, left.formats.get(RUN_RECORD.name))
        self._gateways.take_over(left.gateway, left.leaving)
        self._supervisors.take_over(left)

    def write_as(self, name: str, version: int) -> None:
        """Go on with one of the keeper's formats in this version.

        Raises: ValueError when that cannot be written.
        """
        if name == RUN_RECORD.name:
            self._holding.write_records_as(version)
        elif name == HANDOVER.name and version in HANDOVER.writes:
            self._version = version
        else:
            raise ValueError(f"{name} is not written in format {version}")

    def state_to_check(self) -> int:
        """A file in memory with what a next keeper would have to read.

        Raises: OSError.
        """
        with self._holding.handed_over() as runs:
            return write(self._succession(self._supervisors.nobody, runs), self._version)

    def succeed(self, argv: list[str], supervisor: SupervisorLeft) -> str:
        """Become the keeper of this command line; returns, with the reason, only when that fails."""
        signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
        with self._holding.handed_over() as runs:
            try:
                replace_process(
                    argv,
                    {**os.environ, **self._manager.variables},
                    self._succession(supervisor, runs),
                    self._version,
                )
            except OSError as error:
                return f"{argv[0]}: {error.strerror}"
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def _succession(self, supervisor: SupervisorLeft, runs: list[Run]) -> Succession:
        supervisors = self._supervisors
        return Succession(
            version=supervisors.version,
            before=supervisors.before,
            upgrade=supervisors.upgrade,
            reverted=supervisors.reverted,
            locks=(self._locks.state.fd, self._locks.runtime.fd),
            runs=runs,
            formats={RUN_RECORD.name: self._holding.record_version, HANDOVER.name: self._version},
            kept=[(name, fd, note) for name, (fd, note) in supervisors.kept.items()],
            supervisor=supervisor,
            gateway=self._gateways.pid,
            leaving=self._gateways.leaving,
            stop_asked=supervisors.stop_asked,
        )
