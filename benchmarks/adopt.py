"""kill -9 of the supervisor with 1000 children: until status tells again of all, each with its old pid.

Of supervisord the whole daemon is killed, since there is nothing less of it, and started again at once.
"""

import os
import signal
import sys
import time
from typing import NamedTuple

import figures
from acts import wait_until
from command import Benchmark, main
from daemon import Daemon, Programs, Row
from figures import Verdict, at_least, at_most, number
from fleet_daemon import FleetAgent
from stage import Stage
from supervisord_daemon import Supervisord

SIZE = 1000
LATEST_SECONDS = 60.0
LIMIT_SECONDS = 0.5
ASK_EVERY_SECONDS = 0.01
# The keeper waits before it starts a supervisor again that died twice in so short a time.
YOUNG_SECONDS = 11.0


class Return(NamedTuple):
    """Seconds until the first answer, and until all programs are said to run; how many kept their pid."""

    answer: float
    right: float
    kept: int


def await_rows(daemon: Daemon, before: dict[int, Row], killed: float) -> Return:
    """Ask until all run."""
    answered: list[float] = []

    def is_right() -> bool:
        rows = daemon.rows()
        if rows:
            answered.append(time.monotonic() - killed)
        return len(rows) == SIZE and all(row.state == "RUNNING" for row in rows.values())

    wait_until(is_right, LATEST_SECONDS, f"all running again under {daemon.name}", ASK_EVERY_SECONDS)
    right = time.monotonic() - killed
    after = daemon.rows()
    kept = sum(after[program].pid == row.pid for program, row in before.items())
    return Return(answered[0], right, kept)


def kill_ours(fleet: FleetAgent) -> Return:
    """Kill the supervisor; the keeper starts the next."""
    before = fleet.rows()
    supervisor = fleet.pids()[1]
    killed = time.monotonic()
    os.kill(supervisor, signal.SIGKILL)
    return await_rows(fleet, before, killed)


def kill_theirs(peer: Supervisord) -> Return:
    """Kill supervisord and start it again; end it and what it left behind."""
    peer.start_all()
    peer.settle()
    before = peer.rows()
    peer.disconnect()
    assert peer.process is not None
    killed = time.monotonic()
    peer.process.kill()
    peer.process.wait()
    peer.start()
    found = await_rows(peer, before, killed)
    peer.close()
    return found


def measure(rounds: int) -> list[Verdict]:
    """Both in turns."""
    rows, ours = [], []
    with Stage() as stage:
        fleet = stage.fleet_agent(Programs(SIZE))
        fleet.start_all()
        fleet.settle()
        for turn in range(rounds):
            time.sleep(YOUNG_SECONDS)
            found, other = kill_ours(fleet), kill_theirs(stage.supervisord(Programs(SIZE)))
            ours.append(found)
            values = (found.answer, found.right, found.kept, other.answer, other.right, other.kept)
            rows.append([str(turn + 1), *(number(value) for value in values)])
    headers = [
        "round",
        "fleet-agent answers s",
        "right s",
        "pids kept",
        "supervisord answers s",
        "right s",
        "pids kept",
    ]
    print(figures.table(headers, rows), flush=True)
    return [
        at_most("status is right again", figures.median([one.right for one in ours]), LIMIT_SECONDS, "s"),
        at_least("children with their old pid", min(one.kept for one in ours), SIZE, "children"),
    ]


BENCHMARK = Benchmark(
    "adopt", f"kill -9 of the supervisor of {SIZE} children to the right status", 3, measure
)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
