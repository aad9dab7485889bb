"""All benchmarks, or those that are named: `make bench`, `make bench ARGS="status idle"`."""

import sys

import adopt
import crash_all
import crash_restart
import endurance
import idle
import kill_all
import logs
import memory
import memory_whole
import shutdown
import start_many
import status
import upgrade_gap
from command import main

BENCHMARKS = [
    crash_restart.BENCHMARK,
    start_many.BENCHMARK,
    status.BENCHMARK,
    idle.BENCHMARK,
    memory.BENCHMARK,
    logs.BENCHMARK,
    adopt.BENCHMARK,
    kill_all.BENCHMARK,
    upgrade_gap.BENCHMARK,
    crash_all.BENCHMARK,
    shutdown.BENCHMARK,
    memory_whole.BENCHMARK,
    endurance.BENCHMARK,
]

if __name__ == "__main__":
    sys.exit(main(BENCHMARKS, sys.argv[1:]))
