"""Trees without a kernel: every run leaves descendants behind, or none does; they go when told to."""

from collections.abc import Callable, Iterable

from fleet_agent.core.events import EndTree, KillTree, TreeEnded
from fleet_agent.core.tree import RunKey
from fleet_agent.supervisor.trees.showing import Shown


class PlantedTrees:
    """Stands in for `Trees`; `waiting` are the ends that the loop is still to hear of."""

    def __init__(self, has_descendants: bool = False, cause: str = "") -> None:
        self.has_descendants = has_descendants
        self.cause = cause
        self.living: dict[RunKey, int] = {}
        self.is_broken = False
        self.shown: dict[str, Shown] = {}
        self.replies: list[Callable[[], None]] = []
        self.waiting: list[tuple[str, TreeEnded]] = []

    def spawned(self, key: RunKey, pid: int, started_monotonic: float, is_new: bool = True) -> None:
        self.living[key] = pid

    def ended(self, key: RunKey, is_stop: bool) -> bool:
        self.living.pop(key, None)
        return is_stop and self.has_descendants

    def cause_of_kill(self, key: RunKey) -> str:
        return self.cause

    def show(self, ids: Iterable[str], reply: Callable[[dict[str, Shown] | None], None]) -> None:
        """Answer only when the test calls `replies`, as the tree thread answers some time later."""
        wanted = list(ids)
        found = {id_: self.shown.get(id_, Shown([], 0)) for id_ in wanted}
        self.replies.append(lambda: reply(None if self.is_broken else found))

    def act(self, id_: str, effect: EndTree | KillTree) -> None:
        """Carry out an effect: what lives on its own is left alone until the process itself has ended."""
        if (id_, effect.run) not in self.living:
            self.waiting.append((id_, TreeEnded(effect.run, killed=1)))
