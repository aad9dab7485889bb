"""What is asked of an agent by signal: stop everything, detach, open the logs anew. Used by `agent`."""

from collections.abc import Callable

from fleet_agent.core.log_lines import INFO, WARN, LogLine
from fleet_agent.link.messages import Detach, Leave, ToKeeper
from fleet_agent.supervisor import history
from fleet_agent.supervisor.announcement import Announcement
from fleet_agent.supervisor.aside import within
from fleet_agent.supervisor.logs.worker import LogWorker
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.roster import Roster
from fleet_agent.supervisor.shutdown import Shutdown
from fleet_agent.supervisor.trees.trees import Trees

LOG_DRAIN_SECONDS = 5.0
KEEP_SECONDS = 2.0


class Ending:
    """Owns the one ordered stop; `has_begun` once it was asked for."""

    def __init__(
        self,
        loop: Loop,
        roster: Roster,
        logs: LogWorker,
        trees: Trees,
        announcement: Announcement,
        journal_folders: tuple[str, str],
        take_log_results: Callable[[], None],
        send: Callable[[ToKeeper], None],
        report: Callable[[LogLine], None],
    ) -> None:
        """`journal_folders`: where the journal is, and where it outlives a boot."""
        self._loop = loop
        self._roster = roster
        self._logs = logs
        self._trees = trees
        self._announcement = announcement
        self._journal_folders = journal_folders
        self._take_log_results = take_log_results
        self._send = send
        self._report = report
        self.has_begun = False

    def refusal(self) -> str:
        """Why nothing may be changed any more; empty as long as it may."""
        return "the agent is stopping everything" if self.has_begun else ""

    def ask(self, what: str, signal_name: str) -> None:
        """Do what a signal asks: stop, detach, reload or reopen."""
        if what == "reopen":
            self._report(LogLine(INFO, f"received {signal_name} indicating log reopen request"))
            self._logs.reopen()
        elif what == "reload":
            self._warn(f"received {signal_name}: the configuration is not re-read by this version")
        elif self.has_begun:
            self._warn(f"received {signal_name}: everything is being stopped already")
        elif what == "detach":
            self._warn(f"received {signal_name}: detaching, the children run on")
            # The journal stays as it is: the next agent goes on from there.
            self._end_with(Detach())
        else:
            self._warn(f"received {signal_name} indicating exit request")
            self.has_begun = True
            reason = f"the agent was asked to stop by {signal_name}"
            Shutdown(self._loop, self._roster, reason, self._inform, self._leave)

    def _leave(self) -> None:
        self._roster.leave()
        # The next agent may come after a boot.
        folder, kept = self._journal_folders
        words = within(KEEP_SECONDS, lambda: history.keep(folder, kept))
        if words:
            self._warn(f"changes are not kept over a boot: {kept}: {words}")
        self._end_with(Leave(0))

    def _end_with(self, message: ToKeeper) -> None:
        self._trees.close()
        self._announcement.take_back()
        # Let the last words of the children reach their logs before the keeper lets go of the ends.
        self._logs.stop(LOG_DRAIN_SECONDS)
        self._take_log_results()
        self._send(message)

    def _inform(self, text: str) -> None:
        self._report(LogLine(INFO, text))

    def _warn(self, text: str) -> None:
        self._report(LogLine(WARN, text))
