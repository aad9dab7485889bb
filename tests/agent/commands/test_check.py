"""fleet-agent check."""

from pathlib import Path

import pytest
from fleet_agent.commands.check import run


def write(folder: Path, text: str) -> str:
    path = folder / "x.conf"
    path.write_text(text)
    return str(path)


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "[program:a]\ncommand=x\nprocess_name=%(process_num)d\nnumprocs=2\n")
    assert run([path], {}) == 0
    assert capsys.readouterr().out == f"{path}: no problems; 2 processes in 1 group\n"


def test_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "[program:a]\ncommand=x\nusr=root\n")
    assert run([path], {}) == 1
    assert capsys.readouterr().out.splitlines() == [
        f'{path}:3: warning: [program:a] usr: unknown key, without effect (did you mean "user"?)',
        f"{path}: 1 warning; 1 process in 1 group",
    ]


def test_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "[program:a]\ncommand=x\nusr=root\n")
    for arguments in (["--strict", path], [path, "--strict"]):
        assert run(arguments, {}) == 2
        assert capsys.readouterr().out.splitlines()[-1] == f"{path}: 1 error"


def test_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "[program:a]\nusr=root\nautostart=x\n")
    assert run([path], {}) == 2
    out = capsys.readouterr().out.splitlines()
    assert len(out) == 4
    assert out[-1] == f"{path}: 2 errors, 1 warning"


def test_the_environment_is_the_one_given(tmp_path: Path) -> None:
    path = write(tmp_path, "[program:a]\ncommand=%(ENV_TOOL)s\n")
    assert run([path], {"TOOL": "/bin/x"}) == 0
    assert run([path], {}) == 2


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--nope", "a"]])
def test_bad_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments, {}) == 2
    assert "usage: fleet-agent check FILE" in capsys.readouterr().err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"], {}) == 0
    assert "exit codes" in capsys.readouterr().out


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([f"{tmp_path}/gone"], {}) == 2
    assert "could not find config file" in capsys.readouterr().out
