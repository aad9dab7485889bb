"""Children that misbehave: each is dealt with, and nothing else is harmed."""

import getpass
import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from real.agent import RealAgent, alive, program
from real.fleet import run
from real.logs import whole_lines
from real.processes import cpu_seconds, resident_bytes
from real.waiting import wait_for

ABOUT_NOTHING = 0.2
"""CPU seconds a second that are far from a busy loop, even on a machine that has much else to do."""


def section(name: str, command: str, folder: Path, *lines: str) -> str:
    """A program with a log of its own that is started once, at once and without a wait."""
    return "\n".join(
        (
            f"[program:{name}]",
            f"command={command}",
            f"stdout_logfile={folder}/{name}.log",
            "startsecs=0",
            "autorestart=false",
            *lines,
            "",
        )
    )


def logged(folder: Path, name: str, words: str, seconds: float = 15) -> str:
    """What a program has logged once it contains these words."""
    path = folder / f"{name}.log"
    return wait_for(
        lambda: path.read_text() if path.exists() else "",
        lambda text: words in text,
        seconds,
        f"{name} logs {words!r}",
    )


def cpu_in_a_second(*pids: int) -> list[float]:
    """CPU seconds that each of these uses within one second."""
    begun, before = time.monotonic(), [cpu_seconds(pid) for pid in pids]
    wait_for(lambda: time.monotonic() - begun >= 1)
    share = 1 / (time.monotonic() - begun)
    return [(cpu_seconds(pid) - used) * share for pid, used in zip(pids, before, strict=True)]


# ---------------------------------------------------------------- streams


def test_a_child_that_closes_its_streams_costs_nothing(tmp_path: Path) -> None:
    config = section("closed", program("closes_streams"), tmp_path) + section("reader", "cat", tmp_path)
    with RealAgent(tmp_path, config) as agent:
        logged(tmp_path, "closed", "there")
        pid = agent.wait_state("closed", "RUNNING")["pid"]
        wait_for(lambda: os.listdir(f"/proc/{pid}/fd"), lambda fds: not {"0", "1", "2"} & set(fds))
        # `cat` finds no end of its standard input either, and waits.
        reader = agent.wait_state("reader", "RUNNING")["pid"]
        hello = agent.hello()
        spent = cpu_in_a_second(hello["pid"], hello["supervisor_pid"], reader, pid)
        assert max(spent) < ABOUT_NOTHING, spent
        assert agent.row("reader")["pid"] == reader
        agent.operate("restart", "closed")
        assert agent.row("closed")["run"] == 2
        assert not alive(pid)
        assert not agent.said()


def test_a_flood_holds_up_nobody(tmp_path: Path) -> None:
    config = (
        section(
            "flood", program("floods", 3), tmp_path, "stdout_logfile_maxbytes=1MB", "stdout_logfile_backups=2"
        )
        + section("quiet", program("lines", "quiet", 0, 0.01), tmp_path)
        + section("crash", program("exits_after", 3600, 0), tmp_path).replace("autorestart=false", "")
        + "autorestart=true\n"
    )
    with RealAgent(tmp_path, config) as agent:
        log = tmp_path / "flood.log"
        agent.wait_state("crash", "RUNNING")
        wait_for(lambda: log.exists() and log.stat().st_size > 0, what="the flood")
        hello = agent.hello()
        for _ in range(5):
            row = agent.wait_state("crash", "RUNNING")
            os.kill(row["pid"], signal.SIGKILL)
            wait_for(lambda run=row["run"]: agent.row("crash")["run"] > run, seconds=5, what="restarted")  # type: ignore[misc]
            assert run("fleetctl", "status", "--state-dir", str(agent.state_dir), seconds=5).code == 0
        text = logged(tmp_path, "flood", "\nwrote ", 30)
        assert int(text.rpartition("wrote ")[2]) > 100_000_000
        assert sum(path.stat().st_size for path in tmp_path.glob("flood.log*")) < 4 * 1024 * 1024
        for pid in (hello["pid"], hello["supervisor_pid"]):
            assert resident_bytes(pid) < 64 * 1024 * 1024
        assert whole_lines(tmp_path / "quiet.log")[:100] == [f"quiet {number}" for number in range(100)]
        assert agent.row("quiet")["run"] == 1


def test_a_child_that_forks_and_leaves(tmp_path: Path) -> None:
    config = section("daemon", program("forks_and_leaves", "one"), tmp_path) + "stoptree=false\n"
    with RealAgent(tmp_path, config) as agent:
        pids = []
        try:
            for number in (1, 2):
                row = agent.wait_state("daemon", "EXITED")
                assert (row["run"], row["exit"]) == (number, {"code": 0, "signal": None, "core": False})
                text = wait_for(
                    lambda number=number: (tmp_path / "daemon.log").read_text(),  # type: ignore[misc]
                    lambda text, number=number: text.count(" pid ") == number,  # type: ignore[misc]
                )
                pids = [int(line.split()[2]) for line in text.splitlines() if " pid " in line]
                # Its lines go on coming after its parent has gone.
                count = text.count("\n")
                wait_for(lambda: len(whole_lines(tmp_path / "daemon.log")), lambda now, c=count: now > c + 50)  # type: ignore[misc]
                if number == 1:
                    assert agent.operate("start", "daemon")["outcomes"][0]["result"] == "ok"
            assert agent.operate("stop", "daemon")["outcomes"][0]["result"] == "unchanged"
            assert all(alive(pid) for pid in pids)
            assert agent.hello()["supervisor_pid"]
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        lines = (tmp_path / "daemon.log").read_text().splitlines()
        assert {line.split()[0] for line in lines[:-1]} == {"one"}


def test_dev_stdout_and_dev_stderr_can_be_opened(tmp_path: Path) -> None:
    command = "sh -c 'echo out >/dev/stdout; echo err >/dev/stderr; echo more >>/dev/stdout'"
    users = [""] if os.geteuid() else ["", "user=nobody"]
    config = "".join(
        section(f"p{number}", command, tmp_path, f"stderr_logfile={tmp_path}/e{number}.log", user)
        for number, user in enumerate(users)
    )
    with RealAgent(tmp_path, config) as agent:
        for number in range(len(users)):
            assert agent.wait_state(f"p{number}", "EXITED")["exit"] == {
                "code": 0,
                "signal": None,
                "core": False,
            }
            assert logged(tmp_path, f"p{number}", "more") == "out\nmore\n"
            wait_for((tmp_path / f"e{number}.log").read_text, lambda text: text == "err\n")


def test_the_order_of_both_streams_in_one_log(tmp_path: Path) -> None:
    config = section("mixed", program("alternates", 5000), tmp_path, "redirect_stderr=true")
    with RealAgent(tmp_path, config) as agent:
        agent.wait_state("mixed", "EXITED")
        logged(tmp_path, "mixed", "\n4999\n")
        assert whole_lines(tmp_path / "mixed.log") == [str(number) for number in range(5000)]


def test_rotation_keeps_as_many_files_as_asked_for_and_every_line(tmp_path: Path) -> None:
    limits = ("stdout_logfile_maxbytes=1KB", "stdout_logfile_backups=500")
    few = ("stdout_logfile_maxbytes=1KB", "stdout_logfile_backups=3")
    config = section("all", program("lines", "line", 5000), tmp_path, *limits)
    config += section("few", program("lines", "line", 5000), tmp_path, *few)
    with RealAgent(tmp_path, config) as agent:
        for name in ("all", "few"):
            agent.wait_state(name, "EXITED")
            logged_whole = wait_for(
                lambda name=name: whole_lines(tmp_path / f"{name}.log"),  # type: ignore[misc]
                lambda lines: lines[-1:] == ["line 4999"],
            )
            assert logged_whole == [f"line {n}" for n in range(5000 - len(logged_whole), 5000)]
        assert len(whole_lines(tmp_path / "all.log")) == 5000
        assert sorted(path.name for path in tmp_path.glob("few.log*")) == [
            "few.log",
            "few.log.1",
            "few.log.2",
            "few.log.3",
        ]


def test_a_log_folder_that_vanishes_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    config = section("chatty", program("lines", "chatty", 0, 0.005), folder)
    config += section("other", program("lines", "other", 0, 0.005), tmp_path)
    with RealAgent(tmp_path, config) as agent:
        logged(folder, "chatty", "chatty 20\n")
        pid = agent.row("chatty")["pid"]
        shutil.rmtree(folder)
        wait_for(agent.activity, lambda said: str(folder) in said, what="the agent says what is wrong")
        assert agent.row("chatty")["pid"] == pid
        assert run("fleetctl", "status", "--state-dir", str(agent.state_dir)).code == 0
        folder.mkdir()
        text = logged(folder, "chatty", "\nchatty ")
        first = int(text.splitlines()[1].split()[1])
        logged(folder, "chatty", f"chatty {first + 50}\n")
        numbers = [int(line.split()[1]) for line in whole_lines(folder / "chatty.log")[1:]]
        assert numbers == list(range(first, first + len(numbers)))
        assert agent.row("chatty")["pid"] == pid
        others = whole_lines(tmp_path / "other.log")
        assert others == [f"other {number}" for number in range(len(others))]
        # That it works again is told once it has done so for a while.
        said = wait_for(agent.activity, lambda said: said.count(str(folder)) >= 2)
        assert said.count(str(folder)) < 10


# ---------------------------------------------------------------- starting


def starts(agent: RealAgent, name: str) -> int:
    return agent.row(name)["run"]


def test_a_child_that_dies_at_birth_is_started_once_a_second(tmp_path: Path) -> None:
    config = "[program:stillborn]\ncommand=/bin/false\nstartsecs=0\nautorestart=true\n"
    with RealAgent(tmp_path, config) as agent:
        wait_for(lambda: starts(agent, "stillborn"), lambda count: count >= 2)
        begun, first = time.monotonic(), starts(agent, "stillborn")
        wait_for(lambda: starts(agent, "stillborn"), lambda count: count >= first + 3)
        seconds = time.monotonic() - begun
        # Three starts later: two whole seconds at least lie between them.
        assert seconds > 1.9
        assert starts(agent, "stillborn") - first <= seconds + 1.1


def test_start_retries_end_in_fatal(tmp_path: Path) -> None:
    fails = program("exits_after", 0, 1)
    config = "".join(
        f"[program:r{retries}]\ncommand={fails}\nstartsecs=1\nstartretries={retries}\n"
        for retries in range(3)
    )
    with RealAgent(tmp_path, config) as agent:
        for retries in range(3):
            row = agent.wait_state(f"r{retries}", "FATAL", 20)
            assert row["run"] == retries + 1
            assert row["pid"] == 0
        # An operator's start begins anew.
        agent.operate("start", "r0")
        assert agent.wait_state("r0", "FATAL")["run"] == 2
        done = run("fleetctl", "status", "r2", "--state-dir", str(agent.state_dir))
        assert done.code == 3
        assert "FATAL     Exited too quickly (process log may have details)" in done.out


def test_what_cannot_be_started_is_told_and_harms_nobody(tmp_path: Path) -> None:
    plain, broken, script = tmp_path / "plain", tmp_path / "broken", tmp_path / "script"
    plain.write_text("not executable")
    broken.write_bytes(b"\0\1\2")
    script.write_text("#!/nowhere/interpreter\n")
    for path in (broken, script):
        path.chmod(0o755)
    commands = {
        "absent": ("/nowhere/at/all", "nowhere"),
        "unknown": ("no-such-command-anywhere", "no-such-command-anywhere"),
        "plain": (str(plain), "plain"),
        "folder": (str(tmp_path), str(tmp_path)),
        "broken": (str(broken), "broken"),
        "script": (str(script), "script"),
        "empty": ("", "command"),
        "unclosed": ("sh -c 'echo", "quot"),
        "homeless": ("sleep 3600\ndirectory=/nowhere/at/all", "/nowhere/at/all"),
    }
    config = "".join(
        f"[program:{name}]\nstartretries=0\ncommand={command}\n" for name, (command, _) in commands.items()
    ) + section("well", "sleep 3600", tmp_path)
    with RealAgent(tmp_path, config) as agent:
        for name, (_, words) in commands.items():
            row = agent.wait_state(name, "FATAL")
            assert words in row["spawn_error"], row
            assert row["pid"] == 0
        assert agent.wait_state("well", "RUNNING")["run"] == 1


MATRIX = [
    # autorestart, exitcodes, how it ends, whether it is started again
    ("false", "0", "0", False),
    ("false", "0", "1", False),
    ("true", "0", "0", True),
    ("true", "0", "5", True),
    ("unexpected", "0", "0", False),
    ("unexpected", "0", "1", True),
    ("unexpected", "0,2", "2", False),
    ("unexpected", "0,2", "3", True),
    ("unexpected", "2", "0", True),
    ("unexpected", "0", "KILL", True),
    ("false", "0", "KILL", False),
    ("true", "0", "KILL", True),
]


def test_who_is_started_again(tmp_path: Path) -> None:
    config = ""
    for number, (autorestart, exit_codes, end, _) in enumerate(MATRIX):
        command = f"sh -c 'kill -{end} $$'" if end == "KILL" else f"sh -c 'exit {end}'"
        config += (
            f"[program:p{number}]\ncommand={command}\nstartsecs=0\n"
            f"autorestart={autorestart}\nexitcodes={exit_codes}\n"
        )
    with RealAgent(tmp_path, config) as agent:
        for number, (*_, is_again) in enumerate(MATRIX):
            if is_again:
                wait_for(lambda name=f"p{number}": starts(agent, name), lambda count: count >= 3)  # type: ignore[misc]
        # By now each of the others would have been, too.
        for number, (*_, end, is_again) in enumerate(MATRIX):
            row = agent.row(f"p{number}")
            if not is_again:
                assert (row["run"], row["state"]) == (1, "EXITED"), MATRIX[number]
                code, sig = (None, signal.SIGKILL) if end == "KILL" else (int(end), None)
                assert row["exit"] == {"code": code, "signal": sig, "core": False}


# ---------------------------------------------------------------- stopping


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT", "USR1", "SIGUSR2", "12"])
def test_the_signal_that_stops(tmp_path: Path, name: str) -> None:
    number = int(name) if name.isdecimal() else signal.Signals[f"SIG{name.removeprefix('SIG')}"]
    config = section("p", program("ends_by_signal"), tmp_path, f"stopsignal={name}")
    with RealAgent(tmp_path, config) as agent:
        logged(tmp_path, "p", "ready")
        agent.operate("stop", "p")
        row = agent.row("p")
        assert row["state"] == "STOPPED"
        assert row["exit"] == {"code": 10 + number, "signal": None, "core": False}


def test_who_ignores_the_signal_is_killed_in_time(tmp_path: Path) -> None:
    config = section("deaf", program("ignores_term"), tmp_path, "stopwaitsecs=2")
    with RealAgent(tmp_path, config) as agent:
        logged(tmp_path, "deaf", "ready")
        pid = agent.row("deaf")["pid"]
        begun = time.monotonic()
        agent.operate("stop", "deaf", wait=False)
        agent.wait_state("deaf", "STOPPING")
        row = agent.wait_state("deaf", "STOPPED")
        assert 1.9 < time.monotonic() - begun < 8
        assert row["exit"] == {"code": None, "signal": signal.SIGKILL, "core": False}
        assert not alive(pid)


@pytest.mark.parametrize(
    ("option", "argument", "is_child_hit"),
    [
        ("stopasgroup=true", "", True),
        ("stopasgroup=false", "", True),
        ("stopasgroup=true\nstoptree=false", "", True),
        ("stoptree=false", "", False),
        ("stopasgroup=true\nstoptree=false", "deaf", True),
        ("killasgroup=true\nstoptree=false", "deaf", True),
        ("killasgroup=false\nstoptree=false", "deaf", False),
    ],
)
def test_grandchildren(tmp_path: Path, option: str, argument: str, is_child_hit: bool) -> None:
    config = section("p", program("has_child", argument), tmp_path, "stopwaitsecs=1", option)
    with RealAgent(tmp_path, config) as agent:
        logged(tmp_path, "p", "child")
        words = logged(tmp_path, "p", "parent").split()
        parent, child = (int(words[words.index(who) + 1]) for who in ("parent", "child"))
        assert agent.row("p")["pid"] == parent
        agent.operate("stop", "p")
        assert not alive(parent)
        try:
            if is_child_hit:
                wait_for(lambda: not alive(child), what="the grandchild is gone")
            else:
                assert alive(child)
        finally:
            if alive(child):
                os.kill(child, signal.SIGKILL)


# ---------------------------------------------------------------- surroundings


def test_what_a_child_finds(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    options = ("umask=027", f"directory={place}", 'environment=COLOUR="light, blue",PERCENT="100%%"')
    config = section("self", program("report_self"), tmp_path, *options)
    with RealAgent(tmp_path, config) as agent:
        report = json.loads(logged(tmp_path, "self", "\n"))
        environment = report["environment"]
        assert report["umask"] == 0o027
        assert report["cwd"] == str(place)
        assert environment["COLOUR"] == "light, blue"
        assert environment["PERCENT"] == "100%"
        assert environment["SUPERVISOR_ENABLED"] == "1"
        assert environment["SUPERVISOR_PROCESS_NAME"] == "self"
        assert environment["SUPERVISOR_GROUP_NAME"] == "self"
        assert report["fds"] == [0, 1, 2]
        assert report["group_leader"]
        assert not report["stderr_is_stdout"]
        assert not report["signals"]["SigBlk"]
        assert agent.row("self")["run"] == 1


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the user")
def test_the_user_of_a_child(tmp_path: Path) -> None:
    import pwd

    account = pwd.getpwnam("nobody")
    # The interpreter may lie where nobody may go; the shell does not.
    config = section("self", "sh -c 'id -u; id -g; id -G; umask'", tmp_path, "user=nobody", "umask=077")
    with RealAgent(tmp_path, config) as agent:
        agent.wait_state("self", "EXITED")
        lines = logged(tmp_path, "self", "77\n").splitlines()
        groups = " ".join(map(str, os.getgrouplist("nobody", account.pw_gid)))
        assert lines == [str(account.pw_uid), str(account.pw_gid), groups, "0077"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may change the user")
def test_a_user_that_only_root_may_choose(tmp_path: Path) -> None:
    config = "[program:p]\ncommand=sleep 3600\nuser=root\nstartretries=0\n"
    config += f"[program:me]\ncommand=sleep 3600\nuser={getpass.getuser()}\n"
    with RealAgent(tmp_path, config) as agent:
        row: Any = agent.wait_state("p", "FATAL")
        assert "setuid" in row["spawn_error"]
        assert agent.wait_state("me", "RUNNING")["run"] == 1
