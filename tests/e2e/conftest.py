"""What holds after every end-to-end test: no process that it started is left."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from real.processes import MARK, processes_of
from real.waiting import wait_for

LEAVING_SECONDS = 5.0


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
