"""All benchmarks, or those that are named: `make bench`, `make bench ARGS="status idle"`."""

import sys

import adopt
import crash_restart
import idle
import logs
import memory
import start_many
import status
from command import main

BENCHMARKS = [
    crash_restart.BENCHMARK,
    start_many.BENCHMARK,
    status.BENCHMARK,
    idle.BENCHMARK,
    memory.BENCHMARK,
    logs.BENCHMARK,
    adopt.BENCHMARK,
]

if __name__ == "__main__":
    sys.exit(main(BENCHMARKS, sys.argv[1:]))
