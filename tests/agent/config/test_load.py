"""Whole files: what they mean, and every problem at once."""

from pathlib import Path
from typing import Any

import pytest
from fleet_agent.config.load import Loaded, load
from fleet_agent.config.settings import DaemonSettings, FleetSettings
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TUTORIAL = """\
[program:hello_world]
command=python3 app.py
directory=/home/ubuntu/hello_world
autostart=true
autorestart=true
startretries=3
strerr_logfile=FOLDER/out.log
stdout_logfile=FOLDER/out.log
user=root
"""


def load_text(folder: Path, text: str, strict: bool = False, **environ: str) -> Loaded:
    path = folder / "main.conf"
    path.write_text(text)
    return load(str(path), environ, host_name="here.example", strict=strict)


def lines(loaded: Loaded, folder: Path) -> list[str]:
    return [str(problem).replace(f"{folder}/", "") for problem in loaded.problems]


def test_the_tutorial_loads_with_one_warning(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, TUTORIAL.replace("FOLDER", str(tmp_path)))
    assert lines(loaded, tmp_path) == [
        "main.conf:7: warning: [program:hello_world] strerr_logfile: unknown key, without effect "
        '(did you mean "stderr_logfile"?)'
    ]
    assert loaded.config is not None
    ((spec,),) = (group.processes for group in loaded.config.groups)
    assert (spec.id, spec.command, spec.user) == ("hello_world:hello_world", "python3 app.py", "root")
    assert spec.stdout.path == f"{tmp_path}/out.log"
    assert (spec.stderr.path, spec.stderr.is_auto) == ("", True)


def test_strict_refuses_the_tutorial(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, TUTORIAL.replace("FOLDER", str(tmp_path)), strict=True)
    assert loaded.config is None
    assert [problem.severity for problem in loaded.problems] == ["error"]


def test_the_agents_own_settings(tmp_path: Path) -> None:
    text = f"""\
[supervisord]
logfile = logs.txt
logfile_maxbytes = 1MB
loglevel = DEBUG
nodaemon = true
umask = 027
directory = {tmp_path}
childlogdir = {tmp_path}
environment = A="1",B="%(here)s"
identifier = me
"""
    loaded = load_text(tmp_path, text)
    assert loaded.problems == ()
    assert loaded.config is not None
    assert loaded.config.path == f"{tmp_path}/main.conf"
    assert loaded.config.daemon == DaemonSettings(
        logfile=f"{tmp_path}/logs.txt",
        logfile_maxbytes=1024 * 1024,
        loglevel="debug",
        pidfile=f"{tmp_path}/supervisord.pid",
        umask=0o027,
        directory=str(tmp_path),
        childlogdir=str(tmp_path),
        environment=(("A", "1"), ("B", str(tmp_path))),
        identifier="me",
    )
    assert loaded.config.fleet == FleetSettings()


def test_fleet_paths_start_at_the_file(tmp_path: Path) -> None:
    text = """\
[fleet]
listen = 127.0.0.1:0
certificate = pki/agent.crt
key = /abs/agent.key
ca = ~/ca.crt
host_id = web-1
"""
    loaded = load_text(tmp_path, text, HOME="/root")
    assert loaded.problems == ()
    assert loaded.config is not None
    assert loaded.config.fleet == FleetSettings(
        "127.0.0.1:0", f"{tmp_path}/pki/agent.crt", "/abs/agent.key", "/root/ca.crt", "web-1"
    )


def test_listen_needs_its_certificate(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "[fleet]\nlisten=127.0.0.1:7601\nkey=/k\n")
    assert loaded.config is None
    (line,) = lines(loaded, tmp_path)
    assert line.startswith("main.conf:2: error: [fleet] listen: listen needs certificate, ca as well")
    assert load_text(tmp_path, "[fleet]\nlisten=127.0.0.1:7601\ninsecure_plaintext=true\n").problems == ()


def test_plain_text_is_no_way_around_certificates_that_are_there(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "[fleet]\nlisten=127.0.0.1:7601\nkey=k\nca=\ninsecure_plaintext=true\n")
    assert loaded.config is None
    (line,) = lines(loaded, tmp_path)
    assert line.startswith("main.conf:3: error: [fleet] key: is given although insecure_plaintext=true")


def test_every_problem_at_once(tmp_path: Path) -> None:
    text = """\
[supervisord]
loglevel = loud
logfle = x
[progam:z]
command = x
[program:a]
autostart = perhaps
user = nosuch_user
stopsignal = FOO
stdout_logfile = /nosuch/dir/x
umask = 9
environment = A
priority = %(process_num)d
nonsense line
[program:b c]
command = x
[program:c]
command = x %(nope)s
stopasgroup = true
killasgroup = false
numprocs = 2
[group:g]
programs = c, nobody
priority = abc
"""
    loaded = load_text(tmp_path, text)
    assert loaded.config is None
    heads = [line.split(": ", 3)[:4] for line in lines(loaded, tmp_path)]
    assert [f"{place} {severity} {key}" for place, severity, key, _ in heads] == [
        "main.conf:2 error [supervisord] loglevel",
        "main.conf:3 warning [supervisord] logfle",
        "main.conf:4 warning [progam:z]",
        "main.conf:6 error [program:a]",
        "main.conf:7 error [program:a] autostart",
        "main.conf:8 error [program:a] user",
        "main.conf:9 error [program:a] stopsignal",
        "main.conf:10 error [program:a] stdout_logfile",
        "main.conf:11 error [program:a] umask",
        "main.conf:12 error [program:a] environment",
        "main.conf:13 error [program:a] priority",
        "main.conf:14 error [program:a]",
        "main.conf:15 error [program:b c]",
        "main.conf:20 error [program:c] killasgroup",
        "main.conf:21 error [program:c] numprocs",
        "main.conf:23 error [group:g] programs",
        "main.conf:24 error [group:g] priority",
    ]
    text = "\n".join(lines(loaded, tmp_path))
    assert "program section program:a does not specify a command" in text
    assert "Invalid user name nosuch_user" in text
    assert 'did you mean "program:z"?' in text
    assert "[group:g] names unknown program or fcgi-program nobody" in text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("[unix_http_server]\nfile=/x\n", "has no effect yet"),
        ("[inet_http_server:two]\nport=9001\n", "has no effect yet"),
        ("[supervisorctl]\nserverurl=unix:///x\n", "has no effect yet"),
        ("[rpcinterface:x]\nsupervisor.rpcinterface_factory=a:b\n", "has no effect yet"),
        ("[ctlplugin:x]\nany=1\n", "has no effect yet"),
        ("[eventlistener:x]\ncommand=a\nevents=TICK_5\n", "is not supported yet and is passed over"),
        ("[fcgi-program:x]\ncommand=a\nsocket=tcp://h:1\n", "is not supported yet and is passed over"),
    ],
)
def test_sections_of_later_versions_are_told(tmp_path: Path, section: str, words: str) -> None:
    loaded = load_text(tmp_path, "[supervisord]\n" + section)
    assert loaded.config is not None
    (problem,) = loaded.problems
    assert (problem.severity, problem.line, problem.message) == ("warning", 2, words)


def test_options_of_later_versions_are_told_when_set(tmp_path: Path) -> None:
    text = """\
[program:a]
command = x
stdout_events_enabled = true
stderr_events_enabled = false
stdout_capture_maxbytes = 1MB
stderr_syslog = true
serverurl = AUTO
stderr_capture_maxbytes = lots
"""
    loaded = load_text(tmp_path, text)
    assert [(problem.line, problem.severity, problem.message) for problem in loaded.problems] == [
        (3, "warning", "has no effect yet"),
        (5, "warning", "has no effect yet"),
        (6, "warning", "has no effect yet"),
        (8, "error", "invalid literal for int() with base 10: 'lots'"),
    ]


def test_unknown_sections_name_the_nearest(tmp_path: Path) -> None:
    text = "[supervisord]\n[Program:a]\n[program]\n[groups:g]\n[supervisord:x]\n[ fleet ]\n[zzz]\n"
    hints = [problem.hint for problem in load_text(tmp_path, text).problems]
    assert hints == [
        'did you mean "program:a"?',
        'write "[program:NAME]"',
        'did you mean "group:g"?',
        'did you mean "[supervisord]"?',
        'did you mean "[fleet]"?',
        "",
    ]


def test_defaults_reach_every_section_and_are_not_strange_there(tmp_path: Path) -> None:
    text = "[DEFAULT]\nstartsecs=7\npriorty=3\n[supervisord]\n[program:a]\ncommand=x\n"
    loaded = load_text(tmp_path, text)
    assert loaded.config is not None
    assert loaded.config.groups[0].processes[0].startsecs == 7
    assert [(problem.line, problem.hint) for problem in loaded.problems] == [(3, 'did you mean "priority"?')]


@pytest.mark.parametrize("text", ["", "; nothing\n", "[supervisorctl]\n", "[unknown]\nk=v\n"])
def test_a_file_with_nothing_to_run_is_refused(tmp_path: Path, text: str) -> None:
    loaded = load_text(tmp_path, text)
    assert loaded.config is None
    assert any("does not include supervisord section" in problem.message for problem in loaded.problems)


def test_a_missing_file_is_one_problem(tmp_path: Path) -> None:
    loaded = load(f"{tmp_path}/gone", {}, host_name="h")
    assert loaded.config is None
    assert [str(problem) for problem in loaded.problems] == [
        f"{tmp_path}/gone: error: could not find config file {tmp_path}/gone"
    ]


@pytest.mark.parametrize(
    "data", [b"\0\0\0", b"\xff\xfe[\0a\0]", bytes(range(56, 256)) + b"\0", b"[supervisord"]
)
def test_garbage_is_an_error_and_nothing_else(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    loaded = load(str(path), {}, host_name="h")
    assert loaded.config is None
    assert loaded.problems


SAMPLE = """\
[supervisord]
environment=A="1"
[program:a]
command=/bin/x %(process_num)d %(ENV_A)s
process_name=%(program_name)s_%(process_num)02d
numprocs=3
stdout_logfile=/tmp/%(program_name)s.log
[group:g]
programs=a
"""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(SAMPLE)), st.integers(0, len(SAMPLE)), st.text(max_size=5))
def test_a_file_cut_or_patched_anywhere_never_raises(tmp_path: Path, cut: int, end: int, patch: str) -> None:
    path = tmp_path / "x"
    path.write_text(SAMPLE[:cut] + patch + SAMPLE[cut:end], encoding="utf-8", errors="surrogateescape")
    loaded = load(str(path), {}, host_name="h")
    assert (loaded.config is None) == any(problem.severity == "error" for problem in loaded.problems)


def test_the_wording_of_lines_is_safe_for_a_terminal(tmp_path: Path) -> None:
    loaded = load_text(tmp_path, "[supervisord]\nlog\x1b[2Jlevel = \x1b[31mx\n")
    assert all(str(problem).isprintable() for problem in loaded.problems)


def test_a_supervisord_sample_runs_unchanged(tmp_path: Path) -> None:
    from importlib import resources

    text = resources.files("supervisor").joinpath("skel/sample.conf").read_text()
    loaded = load_text(tmp_path, text, HOME=str(tmp_path))
    assert loaded.config is not None, lines(loaded, tmp_path)
    assert {problem.message for problem in loaded.problems} == {"has no effect yet"}


def test_loading_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    heavy = "configparser inspect dataclasses logging argparse difflib glob tempfile pathlib"
    code = (
        "import sys; import fleet_agent.config.load; "
        f"print([name for name in {heavy.split()} if name in sys.modules])"
    )
    # Isolated: a site's path files import what they like.
    before = subprocess.run(
        [sys.executable, "-c", f"import sys; print([n for n in {heavy.split()} if n in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    after = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert after.stdout == before.stdout


def test_relative_logs_start_at_the_working_directory(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_text(tmp_path, "[program:a]\ncommand=x\nstdout_logfile=a.log\n")
    assert loaded.config is not None
    assert loaded.config.groups[0].processes[0].stdout.path == f"{tmp_path}/a.log"
    assert loaded.config.daemon.logfile == f"{tmp_path}/supervisord.log"
