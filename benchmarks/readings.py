"""What /proc tells of a process: CPU seconds, memory, descriptors, whether it is there."""

import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

_TICKS = os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Of one or several processes, in MB (2^20 bytes).

    A page that several processes map counts in full in `rss`, by its share in `pss` (whoever else maps
    it, measured or not), not at all in `uss`.
    """

    pss: float
    uss: float
    rss: float


def memory(pids: Iterable[int]) -> Memory:
    """The memory of these processes together."""
    sums = {"Pss": 0, "Private_Clean": 0, "Private_Dirty": 0, "Rss": 0}
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if name in sums:
                    sums[name] += int(rest.split()[0])
    return Memory(
        sums["Pss"] / 1024, (sums["Private_Clean"] + sums["Private_Dirty"]) / 1024, sums["Rss"] / 1024
    )


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds that these processes have used, their ended threads and children left out.

    From the scheduler's nanoseconds where the kernel shows them, else in ticks of 10 ms.
    """
    return sum(_precise(pid) or _ticks(pid) for pid in pids)


def _precise(pid: int) -> float:
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
    except OSError:
        return 0.0
    return total / 1e9


def _ticks(pid: int) -> float:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def descriptors(pid: int) -> int:
    """How many descriptors this process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def is_alive(pid: int) -> bool:
    """Whether this process is there, and no zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def sharers(pid: int) -> list[int]:
    """Other processes that run the same executable file, and so share pages of it."""
    mine = os.stat(f"/proc/{pid}/exe")
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) != pid:
            try:
                other = os.stat(f"/proc/{name}/exe")
            except OSError:
                continue
            if (other.st_dev, other.st_ino) == (mine.st_dev, mine.st_ino):
                found.append(int(name))
    return found


def machine() -> str:
    """This machine in a line."""
    cpus = len(os.sched_getaffinity(0))
    system = os.uname()
    version = sys.version.split()[0]
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{cpus} CPUs, {system.sysname} {system.release}, Python {version}, load {load}"
