"""All of 1000 children killed in one burst: until the last of their successors acts.

Each has been up for longer than any start takes, so that no back-off is due. Both get the same burst.
"""

import os
import signal
import sys
import time
from typing import NamedTuple

import figures
from command import Benchmark, main
from daemon import Daemon, Programs
from figures import Verdict, at_most, number, times
from readings import cpu_seconds
from stage import Stage

SIZE = 1000
UP_SECONDS = 2.5
LATEST_SECONDS = 60.0
LIMIT_SECONDS = 1.2


class Burst(NamedTuple):
    """Seconds from the first kill to the middle and the last first act; CPU seconds of the daemon."""

    middle: float
    last: float
    cpu: float
    missed: int


def kill_children(daemon: Daemon) -> Burst:
    """Kill every child, one after the other without a pause."""
    daemon.settle()
    time.sleep(UP_SECONDS)
    pids = [act.pid for act in daemon.acts.began.values()]
    own = daemon.pids()
    used, before = cpu_seconds(own), time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    acts = daemon.acts.collect("began", SIZE, LATEST_SECONDS)
    taken = [act.at - before for act in acts]
    return Burst(
        figures.median(taken), max(taken, default=LATEST_SECONDS), cpu_seconds(own) - used, SIZE - len(acts)
    )


def measure(rounds: int) -> list[Verdict]:
    """Both in turns."""
    rows, ours, theirs = [], [], []
    with Stage() as stage:
        fleet, peer = stage.fleet_agent(Programs(SIZE)), stage.supervisord(Programs(SIZE))
        for daemon in (fleet, peer):
            daemon.start_all()
        for turn in range(rounds):
            ours.append(kill_children(fleet))
            theirs.append(kill_children(peer))
            rows.append(row(str(turn + 1), ours[-1], theirs[-1]))
    headers = [
        "round",
        "fleet-agent middle s",
        "last s",
        "CPU s",
        "supervisord middle s",
        "last s",
        "CPU s",
        "sooner",
    ]
    print(figures.table(headers, rows), flush=True)
    last = figures.median([one.last for one in ours])
    return [
        at_most(f"the last of {SIZE} is back", last, LIMIT_SECONDS, "s"),
        at_most("not restarted", sum(one.missed for one in ours), 0, "children"),
    ]


def row(name: str, ours: Burst, theirs: Burst) -> list[str]:
    """A line of the table."""
    return [
        name,
        *(number(value) for value in (*ours[:3], *theirs[:3])),
        times(figures.ratio(theirs.last, ours.last)),
    ]


BENCHMARK = Benchmark("crash_all", f"kill -9 of all {SIZE} children to the last first act", 3, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
