"""The fingerprint of a keeper covers all its code, and nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest
from fleet_agent.keeper import fingerprint as room
from fleet_agent.keeper.fingerprint import fingerprint, sources

LOADED = """\
import os, sys
import fleet_agent.main, fleet_agent.commands.run, fleet_agent.commands.succeed
for name, module in sorted(sys.modules.items()):
    if name.startswith("fleet_") and os.path.basename(module.__file__) != "__init__.py":
        print(os.path.abspath(module.__file__))
"""


def test_it_covers_every_module_that_a_keeper_loads() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = {path for path in done.stdout.split() if not path.endswith("/version.py")}
    assert len(loaded) > 10
    assert loaded <= set(sources()), "another module is part of the keeper: name it in fingerprint.py"


@pytest.fixture
def copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Copies of the sources in place of them."""
    paths = []
    for number, source in enumerate(sources()):
        path = tmp_path / f"{number}.py"
        path.write_bytes(Path(source).read_bytes())
        paths.append(path)
    monkeypatch.setattr(room, "sources", lambda: [str(path) for path in paths])
    return paths


def test_every_byte_counts(copies: list[Path]) -> None:
    seen = {fingerprint()}
    assert fingerprint() in seen
    for path in copies:
        path.write_bytes(path.read_bytes() + b"#")
        found = fingerprint()
        assert found not in seen
        seen.add(found)


def test_the_interpreter_counts(copies: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    before = fingerprint()
    monkeypatch.setattr(sys, "version", "4.0.0")
    other_version = fingerprint()
    monkeypatch.setattr(sys, "executable", "/elsewhere/python")
    assert len({before, other_version, fingerprint()}) == 3
