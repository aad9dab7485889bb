"""Start of 1000 programs: from before the daemon's exec to the last child's first act."""

import sys
from typing import NamedTuple

import figures
from command import Benchmark, main
from daemon import Daemon, Programs
from figures import Verdict, at_least, number, times
from readings import cpu_seconds
from stage import Stage

SIZE = 1000
SOONER = 4.0


class Start(NamedTuple):
    """Wall seconds to the last first act; CPU seconds of the daemon until all were seen to run."""

    seconds: float
    cpu: float


def start_once(kind: str) -> Start:
    """A daemon in a fresh folder, started and ended."""
    with Stage() as stage:
        daemon: Daemon = getattr(stage, kind)(Programs(SIZE))
        seconds = daemon.start_all()
        daemon.settle()
        return Start(seconds, cpu_seconds(daemon.pids()))


def measure(rounds: int) -> list[Verdict]:
    """Both in turns, each in an empty folder every time."""
    rows, ratios, ours, theirs = [], [], [], []
    for turn in range(rounds):
        ours.append(start_once("fleet_agent"))
        theirs.append(start_once("supervisord"))
        ratios.append(theirs[-1].seconds / ours[-1].seconds)
        rows.append(row(str(turn + 1), ours[-1], theirs[-1], ratios[-1]))
    ratio = figures.median(ratios)
    rows.append(row("median", middle(ours), middle(theirs), ratio))
    headers = ["round", "fleet-agent s", "CPU s", "supervisord s", "CPU s", "sooner"]
    print(figures.table(headers, rows), flush=True)
    return [at_least(f"start of {SIZE}, sooner", ratio, SOONER)]


def middle(starts: list[Start]) -> Start:
    """The median of each figure."""
    return Start(figures.median([one.seconds for one in starts]), figures.median([one.cpu for one in starts]))


def row(name: str, ours: Start, theirs: Start, ratio: float) -> list[str]:
    """A line of the table."""
    values = (ours.seconds, ours.cpu, theirs.seconds, theirs.cpu)
    return [name, *(number(value) for value in values), times(ratio)]


BENCHMARK = Benchmark("start_many", f"exec of the daemon to the last of {SIZE} first acts", 3, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
