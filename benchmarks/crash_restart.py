"""From kill -9 of a child to the first act of the next one, with 20 and with 1000 programs.

Each program is up for more than 1.5 s when it is killed, so that no back-off is due. supervisord polls
once a second, all its programs: its kills are spread evenly over that period, and it is stopped while it is
not its turn.
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
from stage import Stage

SIZES = (20, 1000)
OUR_KILLS = 100
THEIR_KILLS = 10
UP_SECONDS = 1.6
KILL_EVERY_SECONDS = UP_SECONDS / 20
LATEST_SECONDS = 10.0
MEDIAN_MS = 2.5
P99_MS = 5.0
# "No slower with 1000": what remains within the scatter of one round to the next.
SCATTER = 1.15


class Round(NamedTuple):
    """Milliseconds from kill to first act; kills that brought no restart in time are not among them."""

    ms: list[float]
    missed: int

    @property
    def median(self) -> float:
        """Milliseconds."""
        return figures.median(self.ms)

    @property
    def p99(self) -> float:
        """Milliseconds."""
        return figures.percentile(self.ms, 0.99)


def kill_one(daemon: Daemon, program: int) -> float | None:
    """Milliseconds until the program's next child acts."""
    pid = daemon.acts.began[program].pid
    before = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    act = daemon.acts.next("began", program, LATEST_SECONDS)
    return None if act is None else (act.at - before) * 1e3


def kill_some(daemon: Daemon, count: int, spread_seconds: float) -> Round:
    """Kill one child after the other; each time a little later in a period of `spread_seconds`."""
    found = []
    for turn in range(count):
        time.sleep(KILL_EVERY_SECONDS + spread_seconds * turn / count)
        found.append(kill_one(daemon, turn % daemon.programs.size))
    known = [ms for ms in found if ms is not None]
    return Round(known, len(found) - len(known))


def measure(rounds: int) -> list[Verdict]:
    """Both daemons in turns, both sizes."""
    ours = {size: compare(size, rounds) for size in SIZES}
    verdicts = []
    for size, found in ours.items():
        verdicts.append(at_most(f"median with {size}", found.median, MEDIAN_MS, "ms"))
        verdicts.append(at_most(f"p99 with {size}", found.p99, P99_MS, "ms"))
        verdicts.append(at_most(f"not restarted with {size}", found.missed, 0, "children"))
    few, many = ours[SIZES[0]].median, ours[SIZES[1]].median
    verdicts.append(at_most(f"median with {SIZES[1]} to {SIZES[0]}", many / few, SCATTER, "times"))
    return verdicts


def compare(size: int, rounds: int) -> Round:
    """One size; all samples of ours."""
    with Stage() as stage:
        fleet, peer = stage.fleet_agent(Programs(size)), stage.supervisord(Programs(size))
        for daemon in (fleet, peer):
            daemon.start_all()
            daemon.settle()
        rows, ours, theirs = [], [], []
        for turn in range(rounds):
            with peer.paused():
                time.sleep(UP_SECONDS)
                ours.append(kill_some(fleet, OUR_KILLS, 0.0))
            time.sleep(UP_SECONDS)
            theirs.append(kill_some(peer, THEIR_KILLS, 1.0))
            rows.append(row(str(turn + 1), ours[-1], theirs[-1]))
        total, other = joined(ours), joined(theirs)
        rows.append(row("all", total, other))
        headers = [
            "round",
            "fleet-agent n",
            "median ms",
            "p99",
            "max",
            "supervisord n",
            "median ms",
            "p99",
            "sooner",
        ]
        print(f"  {size} programs\n{figures.table(headers, rows)}", flush=True)
        return total


def row(name: str, ours: Round, theirs: Round) -> list[str]:
    """A line of the table."""
    return [
        name,
        str(len(ours.ms)),
        number(ours.median),
        number(ours.p99),
        number(max(ours.ms, default=float("nan"))),
        str(len(theirs.ms)),
        number(theirs.median),
        number(theirs.p99),
        times(figures.ratio(theirs.median, ours.median)),
    ]


def joined(parts: list[Round]) -> Round:
    """All samples of several rounds."""
    return Round([ms for part in parts for ms in part.ms], sum(part.missed for part in parts))


BENCHMARK = Benchmark("crash_restart", "kill -9 of a child to its successor's first act", 3, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
