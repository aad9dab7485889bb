"""Idle: CPU seconds a minute of the daemon while 1000 children sleep, both in the same minute."""

import sys
import time

import figures
from command import Benchmark, main
from daemon import Daemon, Programs
from figures import Verdict, at_most, number, times
from readings import cpu_seconds
from stage import Stage

SIZE = 1000
WINDOW_SECONDS = 60.0
# What follows a start (records, the last lines of the activity log) is over by then.
QUIET_SECONDS = 5.0
LIMIT = 0.01


def measure(rounds: int) -> list[Verdict]:
    """Windows of a minute in which nobody asks anything."""
    with Stage() as stage:
        fleet, peer = stage.fleet_agent(Programs(SIZE)), stage.supervisord(Programs(SIZE))
        both: list[Daemon] = [fleet, peer]
        for daemon in both:
            daemon.start_all()
            daemon.settle()
            daemon.disconnect()
        keeper, supervisor = fleet.pids()
        watched = [[keeper], [supervisor], peer.pids()]
        time.sleep(QUIET_SECONDS)
        windows = [window(watched) for _ in range(rounds)]
    rows = [
        [str(turn), *(number(value) for value in used), times(figures.ratio(used[2], used[0] + used[1]))]
        for turn, used in enumerate(windows, 1)
    ]
    headers = ["minute", "keeper CPU s", "supervisor", "supervisord", "less"]
    print(figures.table(headers, rows), flush=True)
    ours = figures.median([keeper_s + supervisor_s for keeper_s, supervisor_s, _ in windows])
    return [at_most(f"keeper and supervisor with {SIZE} children", ours, LIMIT, "CPU s a minute")]


def window(watched: list[list[int]]) -> list[float]:
    """CPU seconds of each in one minute."""
    before = [cpu_seconds(pids) for pids in watched]
    time.sleep(WINDOW_SECONDS)
    return [cpu_seconds(pids) - was for pids, was in zip(watched, before, strict=True)]


BENCHMARK = Benchmark("idle", f"CPU of the daemon while {SIZE} children sleep", 2, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
