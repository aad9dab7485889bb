"""The facts of the host that the tests run on."""

import os
import socket
from pathlib import Path

import pytest
from fleet_agent.host import gathering
from fleet_agent.host.facts import Facts
from fleet_api.paths import agent_paths
from real.agent import RealAgent


def gather(folder: Path, text: str, keeper: int = 0) -> Facts:
    conf = folder / "a.conf"
    conf.write_text(text)
    paths = agent_paths(str(folder / "state"), os.geteuid(), {})
    return gathering.gather(str(conf), paths, keeper, dict(os.environ))


def test_this_host_can_do_what_the_tests_need(tmp_path: Path) -> None:
    facts = gather(
        tmp_path, f"[supervisord]\nlogfile={tmp_path}/a.log\n[program:a]\ncommand=x\nuser=nobody\n"
    )
    assert facts.kernel.works == {"pidfd", "memfd", "reuseport", "fifo"}
    assert facts.kernel.version > (5, 4)
    assert facts.limits.open_files is None or facts.limits.open_files > 0
    assert facts.limits.pid_max > 300
    assert facts.state == facts.state._replace(wanted=str(tmp_path / "state"), path=str(tmp_path))
    assert facts.state.is_writable
    assert facts.state.kind
    assert facts.login_users == ()
    assert str(tmp_path) in [folder.wanted for folder in facts.logs]
    assert os.listdir(tmp_path) == ["a.conf"], "nothing is left behind"


def test_a_configuration_that_is_broken_or_not_there(tmp_path: Path) -> None:
    facts = gather(tmp_path, "[program:a]\n")
    assert facts.config is None
    assert facts.problems
    paths = agent_paths(str(tmp_path), os.geteuid(), {})
    assert gathering.gather("", paths, 0, {}).problems == ()
    assert gathering.gather(str(tmp_path / "none"), paths, 0, {}).problems


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = f"[fleet]\ninsecure_plaintext=true\nlisten=127.0.0.1:{port}\n[program:a]\ncommand=x\n"
        assert gather(tmp_path, text).port_problem == "Address already in use"
    assert gather(tmp_path, text).port_problem == ""


def test_an_agent_that_runs_is_asked(tmp_path: Path) -> None:
    with RealAgent(tmp_path / "agent", "") as agent:
        assert agent.keeper is not None
        paths = agent_paths(str(agent.state_dir), os.geteuid(), {})
        facts = gathering.gather(str(agent.config), paths, agent.keeper.pid, {})
        assert facts.answers
        assert str(agent.keeper.pid) in facts.limits.of
        assert facts.state.is_there
        assert facts.state.mode == 0o700


@pytest.mark.parametrize("path", ["/proc/self/limits", "/nowhere"])
def test_what_cannot_be_read_is_nothing(path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gathering, "_read", lambda path: "")
    facts = gather(tmp_path, "[program:a]\ncommand=x\n")
    assert facts.group.path == ""
    assert facts.state.kind == ""
    assert gathering.folder(path).path in ("/", "/proc/self")


@pytest.mark.pure
def test_mount_points_with_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "23 22 0:5 / /mnt/my\\040disk rw shared:1 - xfs none rw\n"
        "a line that is none\n"
    )
    monkeypatch.setattr(gathering, "_read", lambda path: text)
    assert gathering._mounts() == [("/", "ext4"), ("/mnt/my disk", "xfs")]
    assert gathering._file_system("/mnt/my disk/state") == "xfs"
    assert gathering._file_system("/mnt/my disks") == "ext4"
