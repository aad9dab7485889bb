"""kill -9 of the whole agent with 1000 children, and a new start at once: until status is right again.

Keeper, supervisor and gateway die in one moment; the children live on, and every one is adopted.
"""

import os
import signal
import sys
import time

import figures
from adopt import SIZE, Return, await_rows
from command import Benchmark, main
from daemon import Programs
from figures import Verdict, at_least, at_most, number
from fleet_daemon import FleetAgent
from readings import cpu_seconds
from stage import Stage

LIMIT_SECONDS = 1.0


def kill_agent(fleet: FleetAgent) -> Return:
    """Kill all of it and start it again; counted from just before the start."""
    before = fleet.rows()
    for pid in fleet.pids():
        os.kill(pid, signal.SIGKILL)
    assert fleet.process is not None
    fleet.process.wait()
    return await_rows(fleet, before, fleet.start())


def measure(rounds: int) -> list[Verdict]:
    """One agent, killed again and again."""
    rows, found = [], []
    with Stage() as stage:
        fleet = stage.fleet_agent(Programs(SIZE), listens=True)
        fleet.start_all()
        fleet.settle()
        for turn in range(rounds):
            time.sleep(1.0)
            found.append(kill_agent(fleet))
            keeper, supervisor, *_ = fleet.pids()
            values = (*found[-1], cpu_seconds([keeper]), cpu_seconds([supervisor]))
            rows.append([str(turn + 1), *(number(value) for value in values)])
    headers = ["round", "answers s", "right s", "pids kept", "keeper CPU s", "supervisor CPU s"]
    print(figures.table(headers, rows), flush=True)
    return [
        at_most("status is right again", figures.median([one.right for one in found]), LIMIT_SECONDS, "s"),
        at_least("children with their old pid", min(one.kept for one in found), SIZE, "children"),
    ]


BENCHMARK = Benchmark(
    "kill_all", f"kill -9 of the whole agent of {SIZE} children, start to right status", 3, measure
)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
