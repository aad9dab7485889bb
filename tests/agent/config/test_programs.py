"""Programs and groups: from sections to processes."""

from pathlib import Path

import pytest
from fleet_agent.config.load import Loaded, load
from fleet_agent.config.programs import MAX_PROCESSES
from fleet_agent.core.model import Autorestart, GroupSpec, LogSpec, ProcessSpec


def load_text(folder: Path, text: str, **environ: str) -> Loaded:
    path = folder / "main.conf"
    path.write_text(text)
    return load(str(path), environ, host_name="here.example")


def groups(loaded: Loaded) -> dict[str, GroupSpec]:
    assert loaded.config is not None, [str(problem) for problem in loaded.problems]
    return {group.name: group for group in loaded.config.groups}


def only(loaded: Loaded) -> ProcessSpec:
    (group,) = groups(loaded).values()
    (spec,) = group.processes
    return spec


def test_defaults(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "[program:a]\ncommand=/bin/x\n")
    assert only(loaded) == ProcessSpec("a", "a", "/bin/x", stdout=LogSpec("", True), stderr=LogSpec("", True))
    assert loaded.problems == ()


def test_every_option(tmp_path: Path) -> None:
    text = f"""\
[program:a]
command = /bin/x "a b"
  more
process_name = p
priority = 5
autostart = off
autorestart = unexpected
startsecs = 0
startretries = 9
exitcodes = 0,3
stopsignal = INT
stopwaitsecs = 4
stopasgroup = yes
user = root
umask = 077
directory = ~/not-expanded
environment = A="x",B=%(here)s
stdout_logfile = {tmp_path}/out.log
stdout_logfile_maxbytes = 0
stdout_logfile_backups = 2
stderr_logfile = NONE
"""
    loaded = load_text(tmp_path, text)
    assert loaded.problems == ()
    assert only(loaded) == ProcessSpec(
        name="p",
        group="a",
        command='/bin/x "a b"\nmore',
        directory="~/not-expanded",
        environment=(("A", "x"), ("B", str(tmp_path))),
        user="root",
        umask=0o077,
        priority=5,
        autostart=False,
        autorestart=Autorestart.UNEXPECTED,
        startsecs=0,
        startretries=9,
        exitcodes=frozenset({0, 3}),
        stopsignal=2,
        stopwaitsecs=4,
        stopasgroup=True,
        killasgroup=True,
        stdout=LogSpec(f"{tmp_path}/out.log", False, 0, 2),
        stderr=LogSpec(""),
    )


def test_expansions_of_each_process(tmp_path: Path) -> None:
    text = """\
[supervisord]
environment = COLOR="red"
[program:w]
command = run %(process_num)d of %(numprocs)d in %(group_name)s %(program_name)s %(ENV_COLOR)s %(ENV_N)s
process_name = %(program_name)s_%(process_num)02d
numprocs = 2
numprocs_start = 9
environment = N="n%(process_num)d"
directory = /srv/%(host_node_name)s/%(ENV_USER)s
stdout_logfile = %(here)s/%(process_num)d.log
"""
    specs = groups(load_text(tmp_path, text, USER="me"))["w"].processes
    assert [spec.name for spec in specs] == ["w_09", "w_10"]
    assert specs[1].command == "run 10 of 2 in w w red n10"
    assert specs[1].environment == (("N", "n10"),)
    assert specs[1].directory == "/srv/here.example/me"
    assert specs[1].stdout.path == f"{tmp_path}/10.log"


def test_a_programs_environment_cannot_refer_to_itself(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, '[program:a]\ncommand=x\nenvironment=A="1",B="%(ENV_A)s"\n')
    assert loaded.config is None
    assert "%(ENV_A)s cannot be expanded" in loaded.problems[0].message


@pytest.mark.parametrize("percent", ["%%", "%%%%"])
def test_percent_signs_of_a_log(tmp_path: Path, percent: str) -> None:
    loaded = load_text(tmp_path, f"[program:a]\ncommand=x\nstdout_logfile={tmp_path}/a{percent}b\n")
    assert only(loaded).stdout.path == f"{tmp_path}/a%b"


def test_processes_of_a_program_start_by_name(tmp_path: Path) -> None:
    text = "[program:w]\ncommand=x\nnumprocs=11\nprocess_name=w%(process_num)d\n"
    names = [spec.name for spec in groups(load_text(tmp_path, text))["w"].processes]
    assert names == sorted(names)
    assert len(names) == 11


def test_groups_are_in_their_order_of_start(tmp_path: Path) -> None:
    text = """\
[program:z]
command=x
priority=1
[program:b]
command=x
[program:a]
command=x
[program:c]
command=x
priority=2
[group:g]
programs=c,a
priority=5
"""
    loaded = load_text(tmp_path, text)
    assert loaded.config is not None
    found = [
        (group.name, group.priority, [spec.name for spec in group.processes])
        for group in loaded.config.groups
    ]
    assert found == [("z", 1, ["z"]), ("g", 5, ["c", "a"]), ("b", 999, ["b"])]
    assert all(spec.group == group.name for group in loaded.config.groups for spec in group.processes)


def test_group_name_is_that_of_the_group(tmp_path: Path) -> None:
    text = "[program:a]\ncommand=x %(group_name)s\n[group:g]\nprograms=a\n"
    assert only(load_text(tmp_path, text)).command == "x g"


def test_numprocs_zero_is_an_empty_group(tmp_path: Path) -> None:
    assert groups(load_text(tmp_path, "[program:a]\ncommand=x\nnumprocs=0\n"))["a"].processes == ()


def test_too_many_processes_are_refused(tmp_path: Path) -> None:
    text = f"[program:a]\ncommand=x\nprocess_name=%(process_num)d\nnumprocs={MAX_PROCESSES + 1}\n"
    (problem,) = load_text(tmp_path, text).problems
    assert (problem.severity, problem.key) == ("error", "numprocs")


def test_several_processes_need_several_names(tmp_path: Path) -> None:
    (problem,) = load_text(tmp_path, "[program:a]\ncommand=x\nnumprocs=2\nprocess_name=p\n").problems
    assert problem.message == "%(process_num) must be present within process_name when numprocs > 1"
    assert (problem.line, problem.key) == (4, "process_name")


def test_one_mistake_in_a_thousand_processes_is_told_once(tmp_path: Path) -> None:
    text = "[program:a]\ncommand=x %(nope)s\nprocess_name=%(process_num)d\nnumprocs=1000\n"
    assert len(load_text(tmp_path, text).problems) == 1


def test_a_thousand_processes_share_what_is_equal(tmp_path: Path) -> None:
    text = '[program:a]\ncommand=/bin/x\nprocess_name=%(process_num)d\nnumprocs=1000\nenvironment=A="1"\n'
    specs = groups(load_text(tmp_path, text))["a"].processes
    assert len({id(spec.environment) for spec in specs}) == 1
    assert len({id(spec.command) for spec in specs}) == 1
    assert len({id(spec.stdout) for spec in specs}) == 1


def test_redirected_stderr_has_no_log(tmp_path: Path) -> None:
    text = f"[program:a]\ncommand=x\nredirect_stderr=true\nstderr_logfile={tmp_path}/e\n"
    loaded = load_text(tmp_path, text)
    assert only(loaded).stderr == LogSpec("")
    assert [problem.key for problem in loaded.problems] == ["stderr_logfile"]
    assert load_text(tmp_path, "[program:a]\ncommand=x\nredirect_stderr=true\n").problems == ()


@pytest.mark.parametrize(
    ("line", "log"),
    [
        ("stdout_logfile=none", LogSpec("")),
        ("stdout_logfile=", LogSpec("")),
        ("stdout_logfile=AUTO", LogSpec("", True)),
        ("stdout_logfile=syslog", LogSpec("", True)),
        ("stdout_logfile_maxbytes=0", LogSpec("", True, 0)),
        ("stdout_logfile_backups=0", LogSpec("", True, backups=0)),
        ("stdout_logfile=/dev/null", LogSpec("/dev/null")),
    ],
)
def test_logs(tmp_path: Path, line: str, log: LogSpec) -> None:
    loaded = load_text(tmp_path, f"[program:a]\ncommand=x\n{line}\n")
    assert only(loaded).stdout == log
    doubtful = "syslog" in line or "maxbytes=0" in line
    assert len(loaded.problems) == doubtful


@pytest.mark.parametrize(
    ("text", "words", "kept"),
    [
        (
            "[program:a]\ncommand=x\n[group:g]\nprograms=a\n[group:h]\nprograms=a\n",
            "a is also in [group:g]",
            {"g": ["a"], "h": ["a"]},
        ),
        (
            "[program:a]\ncommand=1\nprocess_name=p\n[program:b]\ncommand=2\nprocess_name=p\n[group:g]\nprograms=a,b\n",
            "more than one process is named p",
            {"g": ["p"]},
        ),
        (
            "[program:a]\ncommand=1\n[program:b]\ncommand=2\n[group:a]\nprograms=b\npriority=5\n",
            "a is also the name of [group:a] at ",
            {"a": ["b"]},
        ),
        ("[program:a]\ncommand=1\n[program: a]\ncommand=2\n", "a is defined at ", {"a": ["a"]}),
        (
            "[fcgi-program:f]\n[program:a]\ncommand=1\n[group:g]\nprograms=a,f\n",
            "f is an fcgi-program",
            {"g": ["a"]},
        ),
    ],
)
def test_what_overlaps_is_told(tmp_path: Path, text: str, words: str, kept: dict[str, list[str]]) -> None:
    loaded = load_text(tmp_path, text)
    assert any(words in problem.message for problem in loaded.problems)
    found = {name: [spec.name for spec in group.processes] for name, group in groups(loaded).items()}
    assert found == kept


def test_a_blank_around_a_name_is_no_part_of_it(tmp_path: Path) -> None:
    assert only(load_text(tmp_path, "[program: a ]\ncommand=x\n")).id == "a:a"


def test_an_empty_name_is_refused(tmp_path: Path) -> None:
    assert load_text(tmp_path, "[program:]\ncommand=x\n").config is None


def test_an_environment_that_loses_text_is_told(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "[program:a]\ncommand=x\nenvironment=A=a#b,C=d\n")
    assert only(loaded).environment == (("A", "a"),)
    assert [problem.key for problem in loaded.problems] == ["environment"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", "is empty"),
        ("''", ""),
        ("sh -c 'a", "cannot be split"),
        ("a\\", "cannot be split"),
        ("a 'b c'", ""),
    ],
)
def test_a_command_that_cannot_be_started_is_doubtful(tmp_path: Path, command: str, words: str) -> None:
    loaded = load_text(
        tmp_path, f"[program:a]\nnumprocs=2\nprocess_name=%(process_num)d\ncommand={command}\n"
    )
    assert [problem.line for problem in loaded.problems] == ([4] if words else [])
    assert all(problem.severity == "warning" and words in problem.message for problem in loaded.problems)
