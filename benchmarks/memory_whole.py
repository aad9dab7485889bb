"""Memory of a whole agent that listens, gateway included, with 1000 children: keeper, supervisor, gateway.

Nobody else's figure is beside it: supervisord has nothing that a fleet could speak to.
"""

import sys
import time

import figures
from command import Benchmark, main
from daemon import Programs
from figures import Verdict, at_most, number
from memory import QUIET_SECONDS, SIZE
from readings import memory, sharers
from stage import Stage

LIMIT_MB = 65.0


def measure(rounds: int) -> list[Verdict]:
    """One agent after the other, each asked once for the status of all."""
    rows, whole = [], []
    for turn in range(rounds):
        with Stage() as stage:
            fleet = stage.fleet_agent(Programs(SIZE), listens=True)
            fleet.start_all()
            time.sleep(QUIET_SECONDS)
            fleet.settle()
            pids = fleet.pids()
            found = [memory([pid]) for pid in pids]
            whole.append(memory(pids))
            others = len(set(sharers(pids[0])) - set(pids))
        values = (*(one.pss for one in found), whole[-1].pss, whole[-1].uss)
        rows.append([str(turn + 1), *(number(value) for value in values), str(others)])
    headers = [
        "round",
        "keeper: PSS MB",
        "supervisor",
        "gateway",
        "together",
        "together: USS MB",
        "other Pythons",
    ]
    print(figures.table(headers, rows), flush=True)
    pss = figures.median([one.pss for one in whole])
    return [at_most(f"PSS of keeper, supervisor and gateway with {SIZE} children", pss, LIMIT_MB, "MB")]


BENCHMARK = Benchmark("memory_whole", f"memory of an agent that listens, with {SIZE} children", 2, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
