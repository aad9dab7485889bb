"""Who may go next when an operation touches a bounded number of hosts at once; called by `dispatch`."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Fanout:
    """The progress of one operation over its hosts; every host is in exactly one of the four.

    A host that has yet to be reached takes no place from those that answer.
    """

    unreached: frozenset[str] = frozenset()
    waiting: tuple[str, ...] = ()
    running: frozenset[str] = frozenset()
    done: frozenset[str] = frozenset()
    limit: int = 1

    @property
    def is_done(self) -> bool:
        """Whether every host is done."""
        return not self.unreached and not self.waiting and not self.running


def begin(hosts: Sequence[str], limit: int) -> Fanout:
    """An operation over `hosts`, at most `limit` (at least 1) at a time."""
    return Fanout(unreached=frozenset(hosts), limit=max(1, limit))


def reach(fanout: Fanout, host: str) -> Fanout:
    """The progress after a host was reached: it waits for its turn behind those reached before."""
    if host not in fanout.unreached:
        return fanout
    return replace(fanout, unreached=fanout.unreached - {host}, waiting=(*fanout.waiting, host))


def advance(fanout: Fanout) -> tuple[tuple[str, ...], Fanout]:
    """The hosts that may go now, in order, and the progress with them running."""
    free = max(0, fanout.limit - len(fanout.running))
    going = fanout.waiting[:free]
    return going, replace(
        fanout, waiting=fanout.waiting[len(going) :], running=fanout.running | frozenset(going)
    )


def finish(fanout: Fanout, host: str) -> Fanout:
    """The progress after a host came to its end, running or never reached; another host changes nothing."""
    if host not in fanout.running and host not in fanout.unreached:
        return fanout
    return replace(
        fanout,
        unreached=fanout.unreached - {host},
        running=fanout.running - {host},
        done=fanout.done | {host},
    )
