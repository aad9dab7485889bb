"""The agent's folders: private, locked, and refused by name where they are not ours."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.descriptors import open_below
from fakes.supervised_keeper import SupervisedKeeper, is_alive
from fleet_agent.keeper import folders
from fleet_api.errors import Conflict, Denied
from fleet_api.paths import AgentPaths, agent_paths

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")


@pytest.fixture
def paths(tmp_path: Path) -> AgentPaths:
    return agent_paths(str(tmp_path / "below" / "state"), os.geteuid(), {})


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def give_up(locks: folders.Locks) -> None:
    locks.state.close()
    locks.runtime.close()


def test_folders_are_ours_alone(paths: AgentPaths) -> None:
    locks = folders.prepare(paths)
    assert mode(paths.state) == mode(paths.runtime) == 0o700
    assert locks.state.holder() == str(os.getpid())
    give_up(locks)
    give_up(folders.prepare(paths))


def test_what_is_made_above_them_is_not_open_to_others(paths: AgentPaths) -> None:
    before = os.umask(0)
    try:
        give_up(folders.prepare(paths))
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert mode(os.path.dirname(paths.state)) == 0o755


def test_a_second_agent_is_told_of_the_first(tmp_path: Path, paths: AgentPaths) -> None:
    locks = folders.prepare(paths)
    before = open_below(tmp_path)
    assert before
    with pytest.raises(
        Conflict, match=rf"an agent \(pid {os.getpid()}\) already runs .*{paths.state}"
    ) as caught:
        folders.prepare(paths)
    assert caught.value.code == "AGENT_RUNNING"
    assert open_below(tmp_path) == before
    give_up(locks)


def test_what_is_left_of_an_agent_is_waited_for(paths: AgentPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    locks = folders.prepare(paths)
    leftover = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[locks.runtime.fd]
    )
    locks.runtime.tell(leftover.pid)
    give_up(locks)
    monkeypatch.setattr(folders, "_LEFTOVER_SECONDS", 0.1)
    with pytest.raises(Conflict, match=f"pid {leftover.pid}.*still uses"):
        folders.prepare(paths)
    monkeypatch.setattr(folders, "_LEFTOVER_SECONDS", 20.0)
    leftover.kill()
    give_up(folders.prepare(paths))
    leftover.communicate()


@needs_root
@pytest.mark.parametrize("which", ["state", "runtime"])
def test_a_folder_of_another_user_is_refused_by_name(paths: AgentPaths, which: str) -> None:
    path = getattr(paths, which)
    os.makedirs(path)
    os.chown(path, 65534, 65534)
    with pytest.raises(Denied, match=f"the folder {path} belongs to uid 65534, not to uid 0"):
        folders.prepare(paths)


def test_a_folder_that_others_may_write_is_refused(paths: AgentPaths) -> None:
    os.makedirs(paths.state)
    os.chmod(paths.state, 0o1777)
    with pytest.raises(Denied, match="mode 1777: others may write"):
        folders.prepare(paths)


def test_a_link_to_another_place_is_followed_only_if_the_place_is_ours(
    paths: AgentPaths, tmp_path: Path
) -> None:
    os.makedirs(os.path.dirname(paths.state))
    os.symlink("/tmp", paths.state)
    with pytest.raises(Denied):
        folders.prepare(paths)
    os.unlink(paths.state)
    (tmp_path / "mine").mkdir(mode=0o700)
    os.symlink(tmp_path / "mine", paths.state)
    give_up(folders.prepare(paths))


def test_a_file_in_the_place_of_the_folder(paths: AgentPaths) -> None:
    os.makedirs(os.path.dirname(paths.state))
    Path(paths.state).write_text("")
    with pytest.raises(Denied, match="is no folder"):
        folders.prepare(paths)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Denied, match=r"cannot make the folder .*Not a directory"):
        folders.prepare(agent_paths(str(tmp_path / "file" / "state"), os.geteuid(), {}))


def test_two_keepers_on_one_state_folder(keeper: SupervisedKeeper, tmp_path: Path) -> None:
    keeper.accept()
    (tmp_path / "other").mkdir()
    with SupervisedKeeper(tmp_path / "other", state=keeper.state) as second:
        assert second.wait() == 1
        assert f"an agent (pid {keeper.process.pid}) already runs" in second.said()
    assert keeper.process.poll() is None


# Takes the lock of argv[1], tells its pid, and is then as stuck as can be.
STUCK = "import fcntl, os, sys, time; fd = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(fd, fcntl.LOCK_EX); \
os.ftruncate(fd, 0); os.pwrite(fd, b'%d' % os.getpid(), 0); print(os.getpid(), flush=True); time.sleep(1000)"


@pytest.mark.parametrize("has_keeper", [False, True])
def test_a_stuck_supervisor_without_keeper_gives_way(
    paths: AgentPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_keeper: bool
) -> None:
    give_up(folders.prepare(paths))
    monkeypatch.setattr(folders, "_LEFTOVER_SECONDS", 1.0)
    main = tmp_path / "supervisor" / "main.py"
    main.parent.mkdir()
    main.write_text(STUCK)
    lock = f"{paths.runtime}/agent.lock"
    # The shell stands for a keeper that has the lock, too, or is gone.
    script = 'exec 9<>"$2"; "$0" "$1" "$2" & wait' if has_keeper else '"$0" "$1" "$2" &'
    shell = subprocess.Popen(
        ["/bin/sh", "-c", script, sys.executable, str(main), lock], stdout=subprocess.PIPE
    )
    assert shell.stdout is not None
    pid = int(shell.stdout.readline())
    try:
        if has_keeper:
            with pytest.raises(Conflict, match=f"pid {pid}"):
                folders.prepare(paths)
            assert is_alive(pid)
        else:
            shell.wait()
            give_up(folders.prepare(paths))
            assert not is_alive(pid)
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGKILL)
        shell.wait()
        shell.stdout.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
class TestAFolderThatCannotBeWritten:
    def test_a_lock_that_is_there_is_taken_all_the_same(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = tmp_path / "agent.lock"
        path.write_text("77\n")
        path.chmod(0o400)
        lock = folders.Lock(str(path))
        assert lock.take()
        assert not folders.Lock(str(path)).take()
        lock.tell(88)
        assert lock.holder() == "77"
        assert capfd.readouterr().err.startswith(f"fleet-agent: writing {path} fails: ")
        lock.close()

    def test_where_there_is_none_that_is_said(self, tmp_path: Path) -> None:
        folder = tmp_path / "state"
        folder.mkdir(0o500)
        with pytest.raises(Denied) as refused:
            folders.Lock(str(folder / "agent.lock"))
        assert refused.value.code == "FOLDER_NOT_WRITABLE"
