"""What holds after every end-to-end test: no process that it started is left."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from real.waiting import wait_for

MARK = "FLEET_TEST_FOLDER"
LEAVING_SECONDS = 5.0


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


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a process behind, and end the process."""
    monkeypatch.setenv(MARK, str(tmp_path))
    yield
    try:
        wait_for(lambda: processes_of(tmp_path), lambda left: not left, LEAVING_SECONDS, "nothing is left")
    finally:
        for pid in processes_of(tmp_path):
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
