"""`fleet-agent trial` prints one report, whatever it finds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.state_samples import SAMPLES
from fleet_agent.commands import trial
from fleet_agent.core.upgrade import Report
from fleet_agent.formats.table import FORMATS
from fleet_agent.keeper.fingerprint import fingerprint
from fleet_agent.supervisor.requests import API_LEVEL
from fleet_api.version import VERSION


def try_out(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code = trial.run(list(arguments), {})
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return code, Report.from_state(json.loads(out))


def test_it_tells_who_it_is_and_what_it_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run" / "runs").mkdir(parents=True)
    SAMPLES["run_record"].write(tmp_path / "run" / "runs", 1)
    code, report = try_out(capsys, "--state-dir", str(tmp_path))
    assert code == 0
    assert (report.version, report.api_level, report.keeper) == (VERSION, API_LEVEL, fingerprint())
    assert report.python == ".".join(map(str, sys.version_info[:3]))
    assert report.formats.keys() == FORMATS.keys()
    assert report.formats["run_record"].found == (1,)
    assert report.problems == ()


def test_a_run_record_that_it_cannot_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tmp_path / "run" / "runs"
    records.mkdir(parents=True)
    SAMPLES["run_record"].write(records, 1)
    (path,) = records.iterdir()
    path.write_text(path.read_text().replace('"version":1', '"version":2'))
    code, report = try_out(capsys, f"--state-dir={tmp_path}")
    assert code == 1
    words = f"a run record is in format 2; fleet-agent {VERSION} reads only 1 ({path})"
    assert report.problems == (words,)
    assert report.formats["run_record"].found == (2,)
    assert list(records.iterdir()) == [path]


def test_the_file_matters_where_nothing_is_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.conf"
    config.write_text("[program:x]\n")
    arguments = ("--state-dir", str(tmp_path), "-c", str(config))
    code, report = try_out(capsys, *arguments)
    assert code == 1
    assert str(config) in report.problems[0]
    (tmp_path / "run").mkdir()
    SAMPLES["active"].write(tmp_path / "run", 1)
    code, report = try_out(capsys, *arguments)
    assert (code, report.problems) == (0, ())
    assert str(config) in report.notes[0]


def test_a_version_whose_parts_cannot_be_loaded_is_no_version_to_go_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_PROGRAMS", ("fleet_agent.gateway.gone",))
    code, report = try_out(capsys, "--state-dir", str(tmp_path))
    assert code == 1
    assert report.problems[0].startswith(
        f"fleet_agent.gateway.gone of fleet-agent {VERSION} cannot be loaded"
    )


@pytest.mark.parametrize("arguments", [["--state-dir"], ["-x"], ["--state-dir", ""], ["file"]])
def test_bad_use(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert trial.run(arguments, {}) == 2
    assert "usage: fleet-agent trial" in capsys.readouterr().err


def test_it_is_a_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fleet_agent.main", "trial", "--state-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert Report.from_state(json.loads(done.stdout)).version == VERSION
    assert list(tmp_path.iterdir()) == []
