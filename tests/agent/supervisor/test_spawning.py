"""What is found wrong before a fork, and what a child is given."""

import os
from pathlib import Path

import pytest
from fleet_agent.config.settings import DaemonSettings
from fleet_agent.core.model import ProcessSpec
from fleet_agent.supervisor import spawning
from fleet_agent.supervisor.spawning import CannotBecome, CannotSpawn


def test_environment_is_layered_and_the_last_one_wins() -> None:
    daemon = DaemonSettings(environment=(("A", "daemon"), ("B", "daemon"), ("SUPERVISOR_ENABLED", "no")))
    spec = ProcessSpec("p", "g", "true", environment=(("B", "program"), ("C", "program")))
    assert spawning.child_environment(spec, daemon, "unix:///s") == {
        "SUPERVISOR_ENABLED": "no",
        "SUPERVISOR_PROCESS_NAME": "p",
        "SUPERVISOR_GROUP_NAME": "g",
        "SUPERVISOR_SERVER_URL": "unix:///s",
        "A": "daemon",
        "B": "program",
        "C": "program",
    }


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("cat  -u\n -v", ["cat", "-u", "-v"]),
        ("sh -c 'exit 3'", ["sh", "-c", "exit 3"]),
        ('echo "a b" c\\ d', ["echo", "a b", "c d"]),
    ],
)
def test_commands_are_split_without_a_shell(command: str, words: list[str]) -> None:
    assert spawning.split_command(command) == words


@pytest.mark.parametrize(
    ("command", "reason"), [("  ", "command is empty"), ("sh -c 'x", "can't parse command")]
)
def test_commands_that_cannot_be_split_are_told(command: str, reason: str) -> None:
    with pytest.raises(CannotSpawn, match=reason):
        spawning.split_command(command)


def test_executables_are_looked_up_and_refused_in_words(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    with pytest.raises(CannotSpawn, match="is not executable"):
        spawning.find_executable("tool", f"/nowhere:{tmp_path}")
    tool.chmod(0o755)
    assert spawning.find_executable("tool", f"/nowhere:{tmp_path}") == str(tool)
    with pytest.raises(CannotSpawn, match="can't find command 'no-such-tool'"):
        spawning.find_executable("no-such-tool", "/bin:/usr/bin")
    with pytest.raises(CannotSpawn, match="is a directory"):
        spawning.find_executable(str(tmp_path), "")


def test_only_root_switches_users() -> None:
    assert spawning.find_account("", 0) == spawning.Account()
    with pytest.raises(CannotSpawn, match="Can't drop privilege as nonroot user"):
        spawning.find_account("root", 4242)
    with pytest.raises(CannotSpawn, match="Can't find username 'no-such-user'"):
        spawning.find_account("no-such-user", 0)
    nobody = spawning.find_account("nobody", 0)
    assert nobody.uid == 65534
    assert nobody.groups is not None
    assert nobody.gid in nobody.groups


def test_a_request_carries_what_the_keeper_needs() -> None:
    spec = ProcessSpec("p", "g", "sh -c true", redirect_stderr=True, umask=0o077)
    request = spawning.build(spec, 7, DaemonSettings(minfds=2048), "", os.environ)
    assert (request.process, request.run, request.argv) == ("g:p", 7, ["sh", "-c", "true"])
    assert request.executable.endswith("/sh")
    assert request.streams == ["stdin", "stdout"]
    assert (request.umask, request.nofile, request.uid) == (0o077, 2048, None)


def test_what_is_wrong_names_the_file_that_was_found(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("")
    with pytest.raises(CannotSpawn, match=f"^command at '{tmp_path}/tool' is not executable$"):
        spawning.find_executable("tool", str(tmp_path))
    (tmp_path / "folder").mkdir()
    with pytest.raises(CannotSpawn, match=f"^command at '{tmp_path}/folder' is a directory$"):
        spawning.find_executable("folder", str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may run what anybody may")
def test_a_program_of_others_may_not_be_run(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("")
    tool.chmod(0o001)
    with pytest.raises(CannotSpawn, match=f"^no permission to run command '{tool}'$"):
        spawning.find_executable(str(tool), "")


def test_the_child_is_looked_up_where_it_would_look_itself(tmp_path: Path) -> None:
    for name in ("daemon", "program"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text("")
        (tmp_path / name / "tool").chmod(0o755)
    daemon = DaemonSettings(environment=(("PATH", f"{tmp_path}/daemon"),))
    spec = ProcessSpec("p", "g", "tool")
    environ = {"PATH": "/bin"}
    assert spawning.build(spec, 1, daemon, "", environ).executable == f"{tmp_path}/daemon/tool"
    own = spec._replace(environment=(("PATH", f"{tmp_path}/program"),))
    assert spawning.build(own, 1, daemon, "", environ).executable == f"{tmp_path}/program/tool"


def test_of_two_faults_the_missing_command_is_told_first() -> None:
    spec = ProcessSpec("p", "g", "/no/such/tool", user="no-such-user")
    with pytest.raises(CannotSpawn, match="can't find command '/no/such/tool'"):
        spawning.build(spec, 1, DaemonSettings(), "", os.environ)
    with pytest.raises(CannotBecome, match="couldn't setuid to 4194300: Can't find uid 4194300"):
        spawning.find_account("4194300", 0)
