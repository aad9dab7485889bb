"""What is found wrong before a fork, and what a child is given."""

import os
from pathlib import Path

import pytest
from fleet_agent.config.settings import DaemonSettings
from fleet_agent.core.model import ProcessSpec
from fleet_agent.supervisor import spawning
from fleet_agent.supervisor.spawning import CannotSpawn


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
