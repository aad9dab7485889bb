"""The processes of one test, found by a mark in their environment; what they cost."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MARK = "FLEET_TEST_FOLDER"
"""The environment variable that names the folder of the test."""


def processes_of(folder: Path) -> dict[int, str]:
    """The living processes that were started by the test of this folder, and their command lines."""
    found = {}
    mark = f"{MARK}={folder}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        # A process of another user, or one that ends while it is looked at, is none of ours.
        with suppress(OSError):
            command = (entry / "cmdline").read_bytes()
            if command and mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Memory that a process has in use."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def status_of(pid: int) -> Mapping[str, str]:
    """The lines of a process's status by their names."""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return {name: value.strip() for name, _, value in (line.partition(":") for line in file)}
