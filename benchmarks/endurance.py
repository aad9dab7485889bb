"""100,000 restarts: whether anything grows in keeper and supervisor, or in their folders.

Children of 1000 programs are killed at random as soon as they have been up long enough for no back-off to
be due, so the agent restarts as fast as it can. It is read when all is quiet again, for the first time
after 10,000 restarts, then after each round of as many.
"""

import os
import random
import signal
import sys
import time
from typing import NamedTuple

import figures
from acts import wait_until
from command import Benchmark, main
from daemon import Programs
from figures import Verdict, at_most, number
from fleet_daemon import FleetAgent
from readings import Memory, descriptors, memory
from stage import Stage

SIZE = 1000
RESTARTS = 10_000
# Until the journal has been renewed for the first time, and the ends of children lie as they come and go.
FIRST_RESTARTS = 10_000
UP_SECONDS = 1.5
LATEST_SECONDS = 30.0
QUIET_SECONDS = 3.0
# Less than twelve bytes for each restart: no object of Python is that small.
MEMORY_MB = 1.0
# Ends of children lie in sockets, 32 sets in each: how many sockets that takes varies.
DESCRIPTORS = 50
# Journals: from one renewal to the next there is one more, or one less.
FILES = 2


class Sample(NamedTuple):
    """What there is of keeper and supervisor, and files in the folders of runtime and state."""

    keeper: Memory
    supervisor: Memory
    keeper_fds: int
    supervisor_fds: int
    files: int
    file_bytes: int


def sample(fleet: FleetAgent) -> Sample:
    """The agent when all is quiet."""
    fleet.settle()
    time.sleep(QUIET_SECONDS)
    keeper, supervisor = fleet.pids()
    wait_until(lambda: count_fifos(fleet) <= 3 * SIZE, LATEST_SECONDS, "ended runs are let go of")
    files = [os.path.join(folder, name) for folder, _, names in os.walk(fleet.state_dir) for name in names]
    return Sample(
        memory([keeper]),
        memory([supervisor]),
        descriptors(keeper),
        descriptors(supervisor),
        len(files),
        sum(os.lstat(path).st_size for path in files),
    )


def count_fifos(fleet: FleetAgent) -> int:
    """FIFOs of children, three each."""
    return len(os.listdir(os.path.join(fleet.state_dir, "run", "fifos")))


def restart(fleet: FleetAgent, count: int, dice: random.Random) -> float:
    """Kill children until so many were followed by others; the seconds that took.

    Raises: TimeoutError when one is not restarted.
    """
    before = time.monotonic()
    killed: set[int] = set()
    while count > 0:
        now = time.monotonic()
        old = [act for act in fleet.acts.began.values() if now - act.at > UP_SECONDS]
        old = [act for act in old if act.number not in killed][: count - len(killed)]
        dice.shuffle(old)
        for act in old:
            os.kill(act.pid, signal.SIGKILL)
            killed.add(act.number)
        acts = fleet.acts.collect("began", 1, LATEST_SECONDS if killed else 0.1)
        if killed and not acts:
            raise TimeoutError(f"not restarted within {LATEST_SECONDS:g} s: {sorted(killed)}")
        killed.difference_update(act.number for act in acts)
        count -= len(acts)
    return time.monotonic() - before


def measure(rounds: int) -> list[Verdict]:
    """One agent, read after each ten thousand restarts."""
    dice = random.Random(1)
    with Stage() as stage:
        fleet = stage.fleet_agent(Programs(SIZE))
        fleet.start_all()
        fleet.settle()
        seconds = [restart(fleet, FIRST_RESTARTS, dice)]
        found = [sample(fleet)]
        for _ in range(rounds):
            seconds.append(restart(fleet, RESTARTS, dice))
            found.append(sample(fleet))
    rows = []
    for turn, (taken, one) in enumerate(zip(seconds, found, strict=True)):
        restarts = FIRST_RESTARTS + turn * RESTARTS
        values = [one.keeper.pss, one.keeper.uss, one.keeper_fds]
        values += [one.supervisor.pss, one.supervisor.uss, one.supervisor_fds]
        values += [one.files, one.file_bytes / 2**20]
        rows.append([str(restarts), number(taken), *(number(value) for value in values)])
    headers = ["restarts", "s", "keeper PSS MB", "USS", "open"]
    headers += ["supervisor PSS MB", "USS", "open", "files", "MB"]
    print(figures.table(headers, rows), flush=True)
    first, last = found[0], found[-1]
    restarts = rounds * RESTARTS
    return [
        at_most(
            f"keeper: USS more after {restarts} restarts", last.keeper.uss - first.keeper.uss, MEMORY_MB, "MB"
        ),
        at_most("supervisor: USS more", last.supervisor.uss - first.supervisor.uss, MEMORY_MB, "MB"),
        at_most("keeper: descriptors more", last.keeper_fds - first.keeper_fds, DESCRIPTORS, ""),
        at_most("supervisor: descriptors more", last.supervisor_fds - first.supervisor_fds, 0, ""),
        at_most("files more", last.files - first.files, FILES, ""),
    ]


BENCHMARK = Benchmark("endurance", f"what grows in the agent over {RESTARTS} restarts a round", 9, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
