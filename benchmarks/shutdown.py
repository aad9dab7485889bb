"""SIGTERM to the daemon with 1000 children that obey at once: until it has ended, and all of them with it."""

import sys
import time
from typing import NamedTuple

import figures
from command import Benchmark, main
from daemon import STOP_SECONDS, Daemon, Programs
from figures import Verdict, at_most, number, times
from readings import is_alive
from stage import Stage

SIZE = 1000
UP_SECONDS = 1.0
LIMIT_SECONDS = 1.0


class End(NamedTuple):
    """Seconds until the daemon had ended; children that were alive after it."""

    seconds: float
    left: int


def end_once(kind: str) -> End:
    """A daemon in a fresh folder, started and ended."""
    with Stage() as stage:
        daemon: Daemon = getattr(stage, kind)(Programs(SIZE))
        daemon.start_all()
        daemon.settle()
        daemon.disconnect()
        time.sleep(UP_SECONDS)
        assert daemon.process is not None
        before = time.monotonic()
        daemon.process.terminate()
        daemon.process.wait(STOP_SECONDS)
        seconds = time.monotonic() - before
        return End(seconds, sum(is_alive(act.pid) for act in daemon.acts.began.values()))


def measure(rounds: int) -> list[Verdict]:
    """Both in turns, each in an empty folder every time."""
    rows, ours = [], []
    for turn in range(rounds):
        mine, other = end_once("fleet_agent"), end_once("supervisord")
        ours.append(mine)
        sooner = times(figures.ratio(other.seconds, mine.seconds))
        rows.append([str(turn + 1), *(number(value) for value in (*mine, *other)), sooner])
    headers = ["round", "fleet-agent s", "children left", "supervisord s", "children left", "sooner"]
    print(figures.table(headers, rows), flush=True)
    return [
        at_most(f"shutdown of {SIZE}", figures.median([one.seconds for one in ours]), LIMIT_SECONDS, "s"),
        at_most("children left alive", sum(one.left for one in ours), 0, "children"),
    ]


BENCHMARK = Benchmark("shutdown", f"SIGTERM to the end of the daemon with {SIZE} children", 3, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
