"""In which formats a supervisor goes on: those that it found at first, others on request, at last its own."""

from collections.abc import Callable, Mapping

from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.rewriting import REWRITTEN_SECONDS, SETTLE_SECONDS, Writers, rewrite, settle


class Settling:
    """Owns the time until no other version comes back any more."""

    def __init__(
        self, loop: Loop, writers: Writers, on_settled: Callable[[], None], report: Callable[[str], None]
    ) -> None:
        self._loop = loop
        self._writers = writers
        self._on_settled = on_settled
        self._report = report
        self._alarm = loop.after(SETTLE_SECONDS, self._settle)

    def versions(self) -> dict[str, int]:
        """The formats in use; 0 for one that only another process knows yet."""
        return {name: writer.version() for name, writer in self._writers.items()}

    def write_as(self, versions: Mapping[str, int]) -> str:
        """Go on in these formats, for an older version to come; why that is not possible, or ""."""
        self._alarm.cancel()
        self._alarm = self._loop.after(REWRITTEN_SECONDS, self._settle)
        return rewrite(versions, self._writers)

    def _settle(self) -> None:
        problem = settle(self._writers)
        if problem:
            self._report(problem)
        else:
            self._on_settled()
