"""[include]."""

import os
from pathlib import Path

import pytest
from fleet_agent.config.ini import MAX_FILE_BYTES
from fleet_agent.config.load import Loaded, load


def load_tree(folder: Path, files: dict[str, str]) -> Loaded:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return load(str(folder / "main.conf"), {}, host_name="here.example")


def commands(loaded: Loaded) -> dict[str, str]:
    assert loaded.config is not None, [str(problem) for problem in loaded.problems]
    return {spec.name: spec.command for group in loaded.config.groups for spec in group.processes}


def test_included_files_add_and_override(tmp_path: Path) -> None:
    loaded = load_tree(
        tmp_path,
        {
            "main.conf": "[include]\nfiles = conf.d/*.conf extra.ini\n[program:a]\ncommand=main\n",
            "conf.d/2.conf": "[program:b]\ncommand=two %(here)s\n",
            "conf.d/1.conf": "[program:b]\ncommand=one\n",
            "conf.d/x.disabled": "[program:c]\ncommand=no\n",
            "extra.ini": "[program:d]\ncommand=%(here)s\n",
        },
    )
    assert commands(loaded) == {"a": "main", "b": f"two {tmp_path}/conf.d", "d": str(tmp_path)}
    assert [(Path(problem.file).name, problem.line) for problem in loaded.problems] == [
        ("2.conf", 1),
        ("2.conf", 2),
    ]


def test_problems_name_the_included_file(tmp_path: Path) -> None:
    loaded = load_tree(
        tmp_path, {"main.conf": "[include]\nfiles=a.conf\n", "a.conf": "\n[program:a]\ncommand=x\nusr=root\n"}
    )
    (problem,) = loaded.problems
    assert (problem.file, problem.line, problem.hint) == (f"{tmp_path}/a.conf", 4, 'did you mean "user"?')


def test_host_name_and_absolute_patterns(tmp_path: Path) -> None:
    loaded = load_tree(
        tmp_path,
        {
            "main.conf": f"[include]\nfiles=\n  {tmp_path}/%(host_node_name)s.conf\n",
            "here.example.conf": "[program:a]\ncommand=x\n",
        },
    )
    assert commands(loaded) == {"a": "x"}
    assert loaded.problems == ()


def test_no_match_is_a_warning(tmp_path: Path) -> None:
    loaded = load_tree(tmp_path, {"main.conf": "[supervisord]\n[include]\nfiles=conf.d/*.conf\n"})
    assert loaded.config is not None
    (problem,) = loaded.problems
    assert problem.message == f'No file matches via include "{tmp_path}/conf.d/*.conf"'
    assert problem.severity == "warning"


def test_files_is_required(tmp_path: Path) -> None:
    loaded = load_tree(tmp_path, {"main.conf": "[supervisord]\n[include]\nfile=x\n"})
    assert loaded.config is None
    assert [problem.message for problem in loaded.problems] == [
        ".ini file has [include] section, but no files setting",
        "unknown key, without effect",
    ]


def test_a_nested_include_is_passed_over(tmp_path: Path) -> None:
    loaded = load_tree(
        tmp_path,
        {
            "main.conf": "[include]\nfiles=a.conf\n",
            "a.conf": "[include]\nfiles=b.conf\n[program:a]\ncommand=x\n",
            "b.conf": "[program:b]\ncommand=x\n",
        },
    )
    assert commands(loaded) == {"a": "x"}
    (problem,) = loaded.problems
    assert (problem.severity, problem.line, problem.section) == ("warning", 1, "include")


def test_a_file_that_includes_itself(tmp_path: Path) -> None:
    loaded = load_tree(
        tmp_path, {"main.conf": "[include]\nfiles=*.conf ./main.conf\n[program:a]\ncommand=x\n"}
    )
    assert commands(loaded) == {"a": "x"}
    assert all("it is read already" in problem.message for problem in loaded.problems)
    assert len(loaded.problems) == 2


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    os.symlink("gone", tmp_path / "a.conf")
    os.symlink("loop.conf", tmp_path / "loop.conf")
    loaded = load_tree(tmp_path, {"main.conf": "[supervisord]\n[include]\nfiles=a.conf loop.conf\n"})
    assert [problem.severity for problem in loaded.problems] == ["warning", "error"]


@pytest.mark.parametrize("kind", ["directory", "fifo", "binary", "huge", "broken"])
def test_what_cannot_be_read_is_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.conf"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "binary":
        path.write_bytes(b"[a]\n\0")
    elif kind == "huge":
        with path.open("wb") as file:
            file.truncate(MAX_FILE_BYTES + 1)
    else:
        path.write_text("[program:a]\nno key\n")
    loaded = load_tree(tmp_path, {"main.conf": "[supervisord]\n[include]\nfiles=a.conf\n"})
    assert loaded.config is None
    assert any(problem.file == str(path) and problem.severity == "error" for problem in loaded.problems)


def test_a_pattern_that_cannot_be_expanded(tmp_path: Path) -> None:
    loaded = load_tree(tmp_path, {"main.conf": "[supervisord]\n[include]\nfiles=%(nope)s\n"})
    (problem,) = loaded.problems
    assert (problem.severity, problem.line) == ("error", 3)
