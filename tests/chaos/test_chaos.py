"""A short form of `make chaos`, the same every time."""

from pathlib import Path

import pytest
from chaos.run import run
from real.processes import MARK, processes_of
from real.waiting import wait_for

SEED = 3
ROUNDS = 50


@pytest.mark.timeout(240)
def test_fifty_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MARK, str(tmp_path))
    assert run(SEED, ROUNDS, jobs=2, folder=tmp_path) == ""
    wait_for(lambda: processes_of(tmp_path), lambda left: not left, what="nothing is left")
