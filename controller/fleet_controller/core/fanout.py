"""Who may go next when an operation touches a bounded number of hosts at once; called by `dispatch`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Fanout:
    """The progress of one operation over its hosts; every host is in exactly one of the three."""

    waiting: tuple[str, ...]
    running: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()
    limit: int = 1

    @property
    def is_done(self) -> bool:
        """Whether nothing waits and nothing runs."""
        return not self.waiting and not self.running


def begin(hosts: Sequence[str], limit: int) -> Fanout:
    """An operation over `hosts`, each once, at most `limit` (at least 1) at a time."""
    return Fanout(waiting=tuple(dict.fromkeys(hosts)), limit=max(1, limit))


def advance(fanout: Fanout) -> tuple[tuple[str, ...], Fanout]:
    """The hosts that may go now, in order, and the progress with them running."""
    free = max(0, fanout.limit - len(fanout.running))
    going = fanout.waiting[:free]
    return going, replace(
        fanout, waiting=fanout.waiting[len(going) :], running=fanout.running | frozenset(going)
    )


def finish(fanout: Fanout, host: str) -> Fanout:
    """The progress after one running host came to its end; another host changes nothing."""
    if host not in fanout.running:
        return fanout
    return replace(fanout, running=fanout.running - {host}, done=fanout.done | {host})


def stop(fanout: Fanout) -> tuple[tuple[str, ...], Fanout]:
    """The hosts that will not be touched any more, and the progress without them."""
    return fanout.waiting, replace(fanout, waiting=())
