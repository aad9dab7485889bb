"""Logs: one child that writes as fast as it can, 4 KiB at a time; then 50 children at 1 MB/s each.

Both daemons rotate at 50 MB and keep ten files, which holds all that one child writes: afterwards every
byte must be there.
"""

import contextlib
import sys
from typing import NamedTuple

import figures
from acts import wait_until
from command import Benchmark, main
from daemon import Daemon, Programs
from figures import Verdict, at_least, at_most, number, times
from readings import cpu_seconds
from stage import Stage

MB = 1_000_000
FLOOD_BYTES = 500 * MB
FLOOD_SECONDS = 120.0
SPEED = 0.9
CHILDREN = 50
RATE = 1 * MB
PACED_SECONDS = 15
WRITTEN_SECONDS = 10.0


class Flood(NamedTuple):
    """`speed` in MB/s as the child found it, `cpu` the daemon's CPU seconds a GB, `lost` in bytes."""

    speed: float
    cpu: float
    lost: int


class Paced(NamedTuple):
    """`taken` and `lost` are shares of what was to be written in time, `cpu` a share of one core."""

    taken: float
    cpu: float
    lost: float


def settled_bytes(daemon: Daemon, numbers: range, expected: int) -> int:
    """What is in the logs of these programs once it is all there, or at the latest."""

    def total() -> int:
        return sum(daemon.logged_bytes(number) for number in numbers)

    with contextlib.suppress(TimeoutError):
        wait_until(lambda: total() >= expected, WRITTEN_SECONDS, "all bytes in the log")
    return total()


def flood(daemon: Daemon, program: int) -> Flood:
    """Have one program write."""
    pids = daemon.pids()
    before = cpu_seconds(pids)
    daemon.start_program(program)
    ended = daemon.acts.collect("ended", 1, FLOOD_SECONDS)
    written = settled_bytes(daemon, range(program, program + 1), FLOOD_BYTES)
    cpu = cpu_seconds(pids) - before
    for path in daemon.logs.glob(f"p{program}.out*"):
        path.unlink()
    if not ended:
        return Flood(float("nan"), float("nan"), FLOOD_BYTES - written)
    began = daemon.acts.began[program].at
    return Flood(FLOOD_BYTES / MB / (ended[0].at - began), cpu / (FLOOD_BYTES / 1e9), FLOOD_BYTES - written)


def paced(daemon: Daemon) -> Paced:
    """Have all programs write at their rate."""
    pids = daemon.pids()
    before = cpu_seconds(pids)
    for program in range(CHILDREN):
        daemon.start_program(program)
    ended = daemon.acts.collect("ended", CHILDREN, 4 * PACED_SECONDS)
    cpu = cpu_seconds(pids) - before
    expected = CHILDREN * RATE * PACED_SECONDS
    written = settled_bytes(daemon, range(CHILDREN), expected)
    for path in daemon.logs.glob("p*.out*"):
        path.unlink()
    if len(ended) < CHILDREN:
        return Paced(float("nan"), float("nan"), 1 - written / expected)
    began = [daemon.acts.began[act.number].at for act in ended]
    seconds = [act.at - start for act, start in zip(ended, began, strict=True)]
    wall = max(act.at for act in ended) - min(began)
    return Paced(PACED_SECONDS / figures.median(seconds), cpu / wall, 1 - written / expected)


def measure(rounds: int) -> list[Verdict]:
    """Both in turns, first one child, then fifty."""
    return [*measure_one(rounds), *measure_many(rounds)]


def measure_one(rounds: int) -> list[Verdict]:
    """One child, as fast as it can."""
    programs = Programs(rounds, f"write {FLOOD_BYTES} 0", is_started=False)
    rows, ratios, lost = [], [], 0
    with Stage() as stage:
        fleet, peer = stage.fleet_agent(programs), stage.supervisord(programs)
        begin([fleet, peer])
        for turn in range(rounds):
            ours, theirs = flood(fleet, turn), flood(peer, turn)
            ratios.append(ours.speed / theirs.speed)
            lost += ours.lost
            values = (ours.speed, ours.cpu, ours.lost, theirs.speed, theirs.cpu, theirs.lost)
            rows.append([str(turn + 1), *(number(value) for value in values), times(ratios[-1])])
    headers = [
        "round",
        "fleet-agent MB/s",
        "CPU s/GB",
        "lost",
        "supervisord MB/s",
        "CPU s/GB",
        "lost",
        "as fast",
    ]
    print(f"  one child, {FLOOD_BYTES // MB} MB, 4 KiB a write\n{figures.table(headers, rows)}", flush=True)
    return [
        at_least("speed of one child to supervisord's", figures.median(ratios), SPEED),
        at_most("lost of one child", lost, 0, "bytes"),
    ]


def measure_many(rounds: int) -> list[Verdict]:
    """Fifty children at a steady rate."""
    programs = Programs(CHILDREN, f"write {PACED_SECONDS * RATE} {RATE}", is_started=False)
    rows, ours, shares = [], [], []
    with Stage() as stage:
        fleet, peer = stage.fleet_agent(programs), stage.supervisord(programs)
        begin([fleet, peer])
        for turn in range(rounds):
            found, other = paced(fleet), paced(peer)
            ours.append(found)
            shares.append(found.cpu / other.cpu)
            values = [100 * value for value in (*found, *other)]
            rows.append([str(turn + 1), *(number(value) for value in values), times(shares[-1])])
    headers = [
        "round",
        "fleet-agent taken %",
        "CPU %",
        "lost %",
        "supervisord taken %",
        "CPU %",
        "lost %",
        "CPU",
    ]
    print(f"  {CHILDREN} children, {RATE // MB} MB/s each\n{figures.table(headers, rows)}", flush=True)
    return [
        at_most("CPU of 50 children at 1 MB/s to supervisord's", figures.median(shares), 1.0, "times"),
        at_most("lost of 50 children", max(one.lost for one in ours), 0, ""),
    ]


def begin(daemons: list[Daemon]) -> None:
    """Start daemons whose programs wait to be started."""
    for daemon in daemons:
        daemon.start()
        wait_until(lambda: bool(daemon.rows()), WRITTEN_SECONDS, f"{daemon.name} answers")  # noqa: B023


BENCHMARK = Benchmark("logs", "one child at full speed, fifty at 1 MB/s", 5, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
