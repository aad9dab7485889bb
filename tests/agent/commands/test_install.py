"""`fleet-agent unit` and `init-script` on a real configuration."""

import os
import subprocess
from pathlib import Path

import pytest
from real.agent import AGENT


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AGENT, *words], cwd=folder, capture_output=True, text=True, timeout=30, check=False
    )


def test_the_unit_names_this_installation_and_its_stop(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("[program:a]\ncommand=/bin/true\nstopwaitsecs=400\n")
    done = call(tmp_path, "unit", "-c", "a.conf", "--state-dir", "state")
    assert (done.returncode, done.stderr) == (0, "")
    start = f"ExecStart={AGENT[0]} run -c {tmp_path}/a.conf --state-dir {tmp_path}/state\n"
    assert start in done.stdout
    assert "TimeoutStopSec=430\n" in done.stdout


def test_the_init_script_names_it_too(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("[program:a]\ncommand=/bin/true\n")
    done = call(tmp_path, "init-script", "-c", "a.conf")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"exec {AGENT[0]} run -c {tmp_path}/a.conf\n" in done.stdout
    assert "fleet-agent/stderr.log" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["unit", "-c", "none.conf"], 2, "none.conf"),
        (["init-script", "-c", "bad.conf"], 2, "fleet-agent check"),
        (["unit", "--strange"], 2, "unit takes no '--strange'"),
        (["init-script", "--help"], 0, "usage: fleet-agent unit"),
    ],
)
def test_bad_use(tmp_path: Path, words: list[str], code: int, text: str) -> None:
    (tmp_path / "bad.conf").write_text("[program:a]\n")
    done = call(tmp_path, *words)
    assert done.returncode == code
    assert text in done.stdout + done.stderr
    assert os.listdir(tmp_path) == ["bad.conf"]
