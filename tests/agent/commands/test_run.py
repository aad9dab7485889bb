"""`fleet-agent run` and the other subcommands: their options and how mistakes are told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet_agent.commands import run
from fleet_agent.commands.run import Options, parse, version_of
from fleet_api.errors import BadRequest

MAIN = [sys.executable, "-m", "fleet_agent.main"]


@pytest.mark.pure
@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], Options()),
        (["-c", "a.conf"], Options("a.conf")),
        (["-n", "--configuration=a=b", "--nodaemon"], Options("a=b")),
        (["--state-dir", "/x", "-c=y"], Options("y", "/x")),
    ],
)
def test_options(words: list[str], options: Options) -> None:
    assert parse(words) == options


@pytest.mark.pure
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["x"], "run takes no 'x'"),
        (["--strange=1"], "run takes no '--strange'"),
        (["-c"], "-c needs a value"),
        (["--state-dir="], "--state-dir needs a value"),
        (["-n=1"], "run takes no '-n'"),
    ],
)
def test_bad_options(words: list[str], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse(words)


@pytest.mark.pure
def test_the_command_lines_of_supervisor_and_keeper() -> None:
    version = version_of("/py", "/etc/a.conf", "")
    assert version.supervisor[:2] == version.keeper[:2] == ["/py", "-P"]
    assert version.supervisor[2:4] == ["-X", "no_debug_ranges"]
    assert version.supervisor[4].endswith("fleet_agent/supervisor/main.py")
    assert version.supervisor[5:] == ["--link-fd", "3", "--config", "/etc/a.conf"]
    assert version.keeper[2].endswith("fleet_agent/main.py")
    assert version.keeper[3:] == ["succeed", "--config", "/etc/a.conf"]
    for argv in version_of("/py", "c", "state"):
        assert argv[-2:] == ["--state-dir", os.path.abspath("state")]


def test_bad_use_is_told_on_stderr(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run.run(["--strange"], os.environ) == 2
    assert capsys.readouterr().err == "fleet-agent: run takes no '--strange' (fleet-agent help)\n"
    (tmp_path / "file").write_text("")
    assert run.run(["-c", "x", "--state-dir", str(tmp_path / "file")], os.environ) == 2
    assert "is no folder" in capsys.readouterr().err


def test_no_configuration_anywhere(tmp_path: Path) -> None:
    for name in ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf"):
        if os.path.exists(name):
            pytest.skip(f"this host has {name}")
    argv = [*MAIN, "run", "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 2
    assert "no configuration: none of" in done.stderr
    assert str(tmp_path / "supervisord.conf") in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["strange"], 2, "unknown command 'strange'"),
        ([], 2, "a command is missing"),
        (["help"], 0, "usage: fleet-agent COMMAND"),
        (["version"], 0, "."),
    ],
)
def test_subcommands(words: list[str], code: int, text: str) -> None:
    done = subprocess.run([*MAIN, *words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == code
    assert text in (done.stderr if code else done.stdout)
    assert not (done.stdout if code else done.stderr)
