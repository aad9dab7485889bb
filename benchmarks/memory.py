"""Memory of the daemon with 1000 children, each daemon alone on the stage.

PSS counts a shared page by its share, so other Python processes on the machine make it smaller (this
benchmark is one of them); how many there were is printed, and USS and RSS are its bounds. Children are
not counted; they are static C programs that share nothing with the daemons.
"""

import sys
import time
from typing import NamedTuple

import figures
from command import Benchmark, main
from daemon import Daemon, Programs
from figures import Verdict, at_most, number
from readings import Memory, memory, sharers
from stage import Stage

SIZE = 1000
QUIET_SECONDS = 5.0
LIMIT_MB = 25.0


class Sample(NamedTuple):
    """One daemon with all its children up, before anybody asked it for them and after."""

    started: Memory
    asked: Memory
    others: int


def sample(kind: str) -> Sample:
    """A daemon, started alone."""
    with Stage() as stage:
        daemon: Daemon = getattr(stage, kind)(Programs(SIZE))
        daemon.start_all()
        time.sleep(QUIET_SECONDS)
        pids = daemon.pids()
        started = memory(pids)
        daemon.settle()
        others = set(sharers(pids[0])) - set(pids)
        return Sample(started, memory(pids), len(others))


def measure(rounds: int) -> list[Verdict]:
    """Both in turns."""
    rows, ours = [], []
    for turn in range(rounds):
        fleet, peer = sample("fleet_agent"), sample("supervisord")
        ours.append(fleet)
        rows += [row(f"{turn + 1} fleet-agent", fleet), row(f"{turn + 1} supervisord", peer)]
    headers = ["round", "started: PSS MB", "USS", "RSS", "asked: PSS MB", "USS", "RSS", "other Pythons"]
    print(figures.table(headers, rows), flush=True)
    pss = figures.median([one.asked.pss for one in ours])
    return [at_most(f"PSS of keeper and supervisor with {SIZE} children", pss, LIMIT_MB, "MB")]


def row(name: str, found: Sample) -> list[str]:
    """A line of the table."""
    return [name, *(number(value) for value in (*found.started, *found.asked)), str(found.others)]


BENCHMARK = Benchmark("memory", f"memory of the daemon with {SIZE} children", 2, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
