"""Configurations that are cut short, huge, binary or wrong: told with file, line and key; nothing starts."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from real.agent import RealAgent
from real.fleet import Done, run
from real.processes import resident_bytes

MEGABYTE = 1024 * 1024
GOOD = """\
[supervisord]
logfile={folder}/activity.log
pidfile={folder}/agent.pid
childlogdir={folder}

[program:touch]
command=touch {folder}/started
startsecs=0
"""


class Case:
    """A broken configuration: how it is written, and what the error must name."""

    def __init__(self, text: str | bytes, *words: str) -> None:
        self.content = text if isinstance(text, bytes) else text.encode()
        self.words = words


CASES = {
    "empty": Case(b"", "does not include supervisord section"),
    "binary": Case(bytes(range(256)) * 100, "agent.conf"),
    "a zero byte": Case(GOOD.encode() + b"[program:x]\ncommand=/bin/a\0b\n", "agent.conf"),
    "no utf-8": Case(GOOD.encode() + b"[program:x]\ncommand=\xff\xfe\n", "agent.conf"),
    "huge": Case(GOOD.encode() + b"# " + b"x" * (17 * MEGABYTE), "bytes"),
    "no header": Case("command=/bin/true\n", ":1:", "section"),
    "no key": Case(GOOD + "nonsense\n", ":9:"),
    "missing command": Case(GOOD + "[program:bare]\npriority=1\n", ":9:", "[program:bare]", "command"),
    "unknown user": Case(
        GOOD + "[program:x]\ncommand=true\nuser=no-such-user\n", ":11:", "[program:x] user", "no-such-user"
    ),
    "unknown user of the agent": Case(
        GOOD.replace("[supervisord]", "[supervisord]\nuser=no-such-user"), ":2:", "[supervisord] user"
    ),
    "log folder gone": Case(
        GOOD + "[program:x]\ncommand=true\nstdout_logfile=/nowhere/at/all/x.log\n",
        ":11:",
        "[program:x] stdout_logfile",
        "/nowhere/at/all",
    ),
    "activity log folder gone": Case(
        GOOD.replace("logfile={folder}/", "logfile=/nowhere/at/all/"), ":2:", "[supervisord] logfile"
    ),
    "childlogdir gone": Case(
        GOOD.replace("childlogdir={folder}", "childlogdir=/nowhere/at/all"),
        ":4:",
        "[supervisord] childlogdir",
    ),
    "bad number": Case(GOOD + "[program:x]\ncommand=true\nstartsecs=soon\n", ":11:", "startsecs", "soon"),
    "bad size": Case(
        GOOD + "[program:x]\ncommand=true\nstdout_logfile_maxbytes=1.5GB\n", ":11:", "stdout_logfile_maxbytes"
    ),
    "bad signal": Case(GOOD + "[program:x]\ncommand=true\nstopsignal=SIGSTOPP\n", ":11:", "stopsignal"),
    "bad umask": Case(GOOD + "[program:x]\ncommand=true\numask=9\n", ":11:", "umask"),
    "bad exit codes": Case(GOOD + "[program:x]\ncommand=true\nexitcodes=0,256\n", ":11:", "exitcodes"),
    "bad environment": Case(GOOD + "[program:x]\ncommand=true\nenvironment=A\n", ":11:", "environment"),
    "unknown expansion": Case(GOOD + "[program:x]\ncommand=%(nothing)s\n", ":10:", "command", "nothing"),
    "an expansion of itself": Case(
        GOOD + '[program:x]\ncommand=true\nenvironment=FLEET_LOOP="%(ENV_FLEET_LOOP)s"\n',
        ":11:",
        "environment",
    ),
    "too many processes": Case(
        GOOD + "[program:x]\ncommand=true\nnumprocs=100000000\nprocess_name=%(process_num)d\n",
        ":11:",
        "numprocs",
    ),
    "processes of one name": Case(GOOD + "[program:x]\ncommand=true\nnumprocs=2\n", "process_name"),
    "a group of nobody": Case(GOOD + "[group:g]\nprograms=touch,nobody\n", ":10:", "programs", "nobody"),
    "half of tls": Case(GOOD + "[fleet]\nlisten=127.0.0.1:0\n", ":10:", "[fleet] listen", "certificate"),
    "bad address": Case(GOOD + "[fleet]\nlisten=127.0.0.1:99999\n", ":10:", "[fleet] listen"),
    "include without files": Case(GOOD + "[include]\n", ":9:", "files"),
}


def both(folder: Path, config: Path) -> tuple[Done, Done]:
    """What `check` and `run` say to a configuration that neither takes."""
    checked = run("fleet-agent", "check", str(config), seconds=30)
    started = run("fleet-agent", "run", "-c", str(config), "--state-dir", str(folder / "state"), seconds=30)
    return checked, started


def assert_refused(folder: Path, config: Path, words: tuple[str, ...]) -> None:
    checked, started = both(folder, config)
    for done, text in ((checked, checked.out), (started, started.err)):
        assert done.code == 2, done
        errors = [line for line in text.splitlines() if " error: " in line]
        assert errors, text
        assert str(config) in errors[0]
        assert len(text) < 20_000
        for word in words:
            assert word in text
        assert "Traceback" not in done.out + done.err
    assert not (folder / "started").exists()


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_broken_configurations(tmp_path: Path, case: Case) -> None:
    config = tmp_path / "agent.conf"
    config.write_bytes(case.content.replace(b"{folder}", str(tmp_path).encode()))
    assert_refused(tmp_path, config, case.words)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "agent.conf"
    broken = "[program:a]\nstartsecs=x\n[program:b]\ncommand=true\nuser=no-such-user\nstopsignal=NO\n"
    config.write_text(GOOD.format(folder=tmp_path) + broken)
    checked, started = both(tmp_path, config)
    for text in (checked.out, started.err):
        assert [line.split(":")[1] for line in text.splitlines() if " error: " in line] == [
            "9",
            "10",
            "13",
            "14",
        ]


def test_files_that_are_no_files(tmp_path: Path) -> None:
    fifo, loop, folder = tmp_path / "fifo", tmp_path / "loop", tmp_path / "folder"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    folder.mkdir()
    for config in (fifo, loop, folder, Path("/dev/zero"), tmp_path / "absent"):
        assert_refused(tmp_path, config, ())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    config = tmp_path / "agent.conf"
    config.write_text(GOOD.format(folder=tmp_path))
    config.chmod(0)
    assert_refused(tmp_path, config, ())


def test_cut_short_at_every_place(tmp_path: Path) -> None:
    """Each piece is refused with its place, or is a whole configuration; `check` and `run` agree."""
    config = tmp_path / "agent.conf"
    whole = (
        f"[supervisord]\nlogfile={tmp_path}/a.log\nloglevel=debug\n[program:x]\ncommand=sh -c 'exit 0'\n"
        'startsecs=10\nenvironment=A="b",C="d"\nuser=root\nstopsignal=TERM\n'
    )
    codes = set()
    for end in range(0, len(whole), 13):
        config.write_text(whole[:end])
        done = run("fleet-agent", "check", str(config))
        codes.add(done.code)
        assert done.code in (0, 1, 2)
        assert not done.err
        for line in done.out.splitlines():
            assert line.startswith(str(config))
        if done.code == 2:
            done = run("fleet-agent", "run", "-c", str(config), "--state-dir", str(tmp_path / "state"))
            assert done.code == 2
            assert str(config) in done.err
            assert "Traceback" not in done.err
    assert codes >= {0, 2}
    assert not (tmp_path / "state" / "endpoint.json").exists()


def nested(folder: Path) -> str:
    """Two files that include each other, and a third that includes itself."""
    (folder / "a.inc").write_text(f"[include]\nfiles={folder}/b.inc\n[program:a]\ncommand=sleep 3600\n")
    (folder / "b.inc").write_text(f"[include]\nfiles={folder}/a.inc\n[program:b]\ncommand=sleep 3600\n")
    return f"{folder}/*.inc {folder}/agent.conf"


CYCLES: dict[str, Callable[[Path], str]] = {
    "itself": lambda folder: f"{folder}/agent.conf",
    "everything": lambda folder: f"{folder}/*.conf {folder}/*.conf",
    "each other": nested,
}


@pytest.mark.parametrize("pattern", CYCLES.values(), ids=list(CYCLES))
def test_configurations_that_include_themselves(tmp_path: Path, pattern: Callable[[Path], str]) -> None:
    text = f"[include]\nfiles={pattern(tmp_path)}\n[program:once]\ncommand=sleep 3600\nstartsecs=0\n"
    with RealAgent(tmp_path, text) as agent:
        assert agent.wait_state("once", "RUNNING")["run"] == 1
        done = run("fleet-agent", "check", str(agent.config))
        assert done.code == 1
        assert "include" in done.out
        assert "agent.conf:" in done.out
        assert resident_bytes(agent.hello()["supervisor_pid"]) < 64 * MEGABYTE


def test_what_an_included_file_has_wrong_is_told_with_its_own_place(tmp_path: Path) -> None:
    config, included = tmp_path / "agent.conf", tmp_path / "more.inc"
    config.write_text(GOOD.format(folder=tmp_path) + f"[include]\nfiles={tmp_path}/*.inc\n")
    included.write_text("\n\n[program:x]\ncommand=true\nuser=no-such-user\n")
    checked, started = both(tmp_path, config)
    for done, text in ((checked, checked.out), (started, started.err)):
        assert done.code == 2
        assert f"{included}:5: error: [program:x] user:" in text
    included.write_bytes(b"\x7fELF" + bytes(1000))
    checked, started = both(tmp_path, config)
    for done, text in ((checked, checked.out), (started, started.err)):
        assert done.code == 2
        assert f"{included}" in text
    assert not (tmp_path / "started").exists()


def test_a_slip_of_the_pen_is_a_warning_with_a_guess(tmp_path: Path) -> None:
    config = tmp_path / "agent.conf"
    config.write_text(
        GOOD.format(folder=tmp_path)
        + "[program:empty]\ncommand=\n[progam:x]\ncommand=true\n[program:y]\ncomand=true\ncommand=true\n"
    )
    done = run("fleet-agent", "check", str(config))
    assert done.code == 1
    assert 'did you mean "program:x"?' in done.out
    assert 'did you mean "command"?' in done.out
    assert ":10: warning: [program:empty] command: is empty" in done.out
    assert run("fleet-agent", "check", "--strict", str(config)).code == 2
