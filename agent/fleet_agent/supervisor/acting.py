"""Carries out what the machine of a process asks for: starts and signals by the keeper, the rest by trees.

Called by `roster`, after the journal.
"""

from collections.abc import Callable, Mapping

from fleet_agent.config.settings import DaemonSettings
from fleet_agent.core import events
from fleet_agent.core.log_lines import LogLine, signal_line, tree_line
from fleet_agent.core.model import Process, ProcessSpec
from fleet_agent.link.messages import SendSignal, Spawn
from fleet_agent.supervisor import spawning
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.trees.trees import Trees


class Acting:
    """Turns effects into requests; owns nothing."""

    def __init__(
        self,
        loop: Loop,
        daemon: DaemonSettings,
        environ: Mapping[str, str],
        trees: Trees,
        ask_keeper: Callable[[Spawn | SendSignal], None],
        report: Callable[[LogLine], None],
        fail: Callable[[ProcessSpec, int, Exception], None],
    ) -> None:
        """`fail` is told of a run that cannot even be asked for."""
        self._loop = loop
        self._daemon = daemon
        self._environ = environ
        self._trees = trees
        self._ask_keeper = ask_keeper
        self._report = report
        self._fail = fail

    def act(self, spec: ProcessSpec, process: Process, effect: events.Effect) -> None:
        """Carry out one effect."""
        if isinstance(effect, events.SendSignal):
            self._ask_keeper(SendSignal(spec.id, effect.run, effect.signal, effect.ordinal, effect.to_group))
            self._report(signal_line(spec, process, effect))
        elif isinstance(effect, events.EndTree | events.KillTree):
            self._trees.act(spec.id, effect)
            self._report(tree_line(spec, effect))
        else:
            self._spawn(spec, effect.run)

    def _spawn(self, spec: ProcessSpec, run: int) -> None:
        try:
            request = spawning.build(spec, run, self._daemon, "", self._environ)
        except (spawning.CannotSpawn, OSError, ValueError) as error:
            failure = error
            # Not now: whoever asked for the start is to hear of that first.
            self._loop.soon(lambda: self._fail(spec, run, failure))
            return
        environment = {**request.environment, **self._trees.mark((spec.id, run))}
        self._ask_keeper(request._replace(environment=environment))
