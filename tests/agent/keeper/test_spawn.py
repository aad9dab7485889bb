"""A child gets its user, limits, signals and descriptors, and nothing of its starter."""

import errno
import fcntl
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from fakes.supervised_keeper import PROGRAMS, SupervisedKeeper, sh
from fleet_agent.keeper import spawn
from fleet_agent.link import messages

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
NOBODY = 65534


INTERNAL_SIGNALS = 0b11 << 31
"""32 and 33 belong to the C library, whose posix_spawn (make's way to start us) leaves them ignored."""


def start_among_files(count: int, spares: str, *user: int) -> dict[str, Any]:
    """What `spawn_among_files.py` tells."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if 0 <= hard < count + 100:
        pytest.skip(f"the hard limit of open files is {hard}")
    command = [sys.executable, str(PROGRAMS / "spawn_among_files.py"), str(count), spares, *map(str, user)]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# What any user may run: the interpreter of the tests may stand in a folder of root.
REPORT = """
grep -E '^(Uid|Gid|Groups|SigBlk|SigIgn|SigCgt):' /proc/$$/status
echo umask: $(umask)
echo cwd: $(pwd)
"""


def parse(text: str) -> dict[str, list[str]]:
    return {line.split(":")[0]: line.split(":")[1].split() for line in text.splitlines() if ":" in line}


def report_of(request: messages.Spawn, spare: spawn.Spare) -> dict[str, list[str]]:
    reading, writing = os.pipe()
    try:
        pid = spawn.start_child(request, [writing], dict(os.environb), spare)
        assert isinstance(pid, int), pid
        os.close(writing)
        with open(reading, closefd=False) as file:
            text = file.read()
        assert os.waitpid(pid, 0)[1] == 0
        return parse(text)
    finally:
        os.close(reading)


def request(**fields: Any) -> messages.Spawn:
    plain = {"executable": "/bin/sh", "argv": ["sh", "-c", REPORT], "environment": {}, "streams": ["stdout"]}
    return messages.Spawn("g:a", 1, **{**plain, **fields})


@pytest.mark.parametrize("user", [(), pytest.param((NOBODY,), marks=needs_root)])
def test_a_keeper_with_many_open_files_gives_its_child_the_usual_limit(user: tuple[int, ...]) -> None:
    answer = start_among_files(1500, "early", *user)
    assert answer == {"limit_is_as_before": True, "printed": "1024\n", "status": 0}


def test_without_spare_descriptors_the_limit_would_be_in_the_way() -> None:
    assert start_among_files(1500, "late") == {"limit_is_as_before": True, "failed_at": "limit"}


def test_popen_never_waits_for_what_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    spare = spawn.Spare()
    first = spawn.start_child(request(), [1], dict(os.environb), spare)
    assert isinstance(first, int)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    second = spawn.start_child(request(), [1], dict(os.environb), spare)
    assert isinstance(second, int)
    assert os.waitpid(first, os.WNOHANG)[0] == first, "its status is still there"
    os.waitpid(second, 0)


@needs_root
def test_another_user_with_its_groups() -> None:
    fields = {"uid": NOBODY, "gid": 65533, "groups": [65533, 7, 8]}
    report = report_of(request(**fields, directory="/dev", umask=0o077), spawn.Spare())
    assert report["Uid"] == [str(NOBODY)] * 4
    assert report["Gid"] == ["65533"] * 4
    assert sorted(report["Groups"]) == ["65533", "7", "8"]
    assert report["umask"] == ["0077"]
    assert report["cwd"] == ["/dev"]


@needs_root
def test_without_groups_another_user_does_not_keep_those_of_root() -> None:
    assert report_of(request(uid=NOBODY, gid=65533), spawn.Spare())["Groups"] == ["65533"]
    assert report_of(request(uid=NOBODY), spawn.Spare())["Groups"] == []


@needs_root
def test_the_folder_is_entered_as_the_other_user(tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    failure = spawn.start_child(
        request(uid=NOBODY, gid=NOBODY, directory=str(hidden)), [1], {}, spawn.Spare()
    )
    assert isinstance(failure, spawn.Failure)
    assert (failure.stage, failure.message) == ("chdir", f"couldn't chdir to {hidden}: EACCES")


@needs_root
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"uid": -2}, "couldn't setuid to -2: "),
        ({"uid": NOBODY, "gid": -2}, "couldn't setuid to 65534: "),
        ({"uid": NOBODY, "groups": [1] * 70_000}, "Could not set groups of effective user"),
    ],
)
def test_a_user_that_cannot_be_is_named(fields: dict[str, Any], words: str) -> None:
    failure = spawn.start_child(request(**fields), [1], {}, spawn.Spare())
    assert isinstance(failure, spawn.Failure)
    assert failure.stage == "setuid"
    assert words in failure.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may become another user")
def test_a_plain_user_cannot_become_another(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.ask_spawn("g:a", ["/bin/true"], uid=0)
    failed = link.expect(messages.SpawnFailed)
    assert (failed.stage, failed.errno) == ("setuid", 1)
    assert failed.message == "couldn't setuid to 0: Can't drop privilege as nonroot user"


def test_the_own_user_is_no_switch(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh(REPORT), uid=os.geteuid(), gid=0, groups=[1, 2])
    report = parse(link.read_all("g:a").decode())
    assert report["Uid"] == [str(os.geteuid())] * 4
    assert [int(group) for group in report["Groups"]] == os.getgroups()


@needs_root
def test_another_user_may_open_its_streams_again(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn(
        "g:a", ["/bin/sh", "-c", "echo one > /dev/stdout; echo two > /dev/stderr"], uid=NOBODY, gid=NOBODY
    )
    assert link.read_all("g:a") == b"one\n"
    assert link.read_all("g:a", "stderr") == b"two\n"


@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=needs_root)])
def test_a_keeper_that_was_started_with_signals_ignored_or_blocked_hands_none_on(
    tmp_path: Path, user: int | None
) -> None:
    def hostile() -> None:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTSTP, signal.SIGUSR1, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR2])

    with SupervisedKeeper(tmp_path, preexec_fn=hostile) as keeper:
        link = keeper.accept()
        link.spawn("g:a", ["/bin/cat", "/proc/self/status"], uid=user)
        report = parse(link.read_all("g:a").decode())
        masks = [int(report[key][0], 16) & ~INTERNAL_SIGNALS for key in ("SigBlk", "SigIgn", "SigCgt")]
        assert masks == [0, 0, 0]


@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=needs_root)])
def test_no_child_can_reach_the_terminal_of_the_keeper(tmp_path: Path, user: int | None) -> None:
    terminal, line = pty.openpty()

    def have_terminal() -> None:
        os.setsid()
        fcntl.ioctl(line, termios.TIOCSCTTY, 0)

    try:
        with SupervisedKeeper(tmp_path, preexec_fn=have_terminal) as keeper:
            link = keeper.accept()
            assert os.getsid(link.pid) == link.pid, "nor can supervisor and gateway"
            link.spawn("g:a", ["/bin/sh", "-c", "(: < /dev/tty) 2>&1 || echo none"], uid=user)
            answer = link.read_all("g:a")
            assert answer.endswith(b"none\n"), answer
    finally:
        os.close(terminal)
        os.close(line)


def test_what_the_starter_left_open_does_not_reach_the_children(tmp_path: Path) -> None:
    def hostile() -> None:
        os.dup2(1, 57, inheritable=True)

    with SupervisedKeeper(tmp_path, preexec_fn=hostile, close_fds=False) as keeper:
        link = keeper.accept()
        link.spawn("g:a", ["/bin/ls", "/proc/self/fd"])
        assert link.read_all("g:a").split() == [b"0", b"1", b"2", b"3"], "3 is the folder that is listed"


@pytest.mark.parametrize("lack", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_an_office_for_which_there_is_no_memory_or_descriptor_is_an_error_of_the_system(
    lack: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise lack

    monkeypatch.setattr(os, "posix_spawn", lacking)
    with pytest.raises(OSError, match=r"Cannot allocate memory|Too many open files"):
        spawn.start_office(["true"], [], spawn.Spare(), {})


def test_a_child_for_which_there_is_no_memory_is_a_failed_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(os, "posix_spawn", lacking)
    request = messages.Spawn("g:a", 1, "/bin/true", ["true"], {}, streams=[])
    failure = spawn.start_child(request, [], {}, spawn.Spare())
    assert isinstance(failure, spawn.Failure)
    assert (failure.stage, failure.errno) == ("fork", errno.ENOMEM)


def test_code_that_cannot_be_loaded_now_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "subprocess", None)
    failure = spawn.start_child(request(directory="/"), [1], {}, spawn.Spare())
    assert isinstance(failure, spawn.Failure)
    assert (failure.stage, failure.errno) == ("fork", errno.ENOMEM)
    assert failure.message.startswith("cannot spawn 'a': import of subprocess")


def without_sessions(*_: object, **arguments: object) -> int:
    assert arguments["setsid"]
    raise NotImplementedError("posix_spawn: setsid unavailable on this platform")


def test_a_python_whose_posix_spawn_has_no_sessions_takes_the_longer_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "posix_spawn", without_sessions)
    assert report_of(request(umask=0o027), spawn.Spare())["umask"] == ["0027"]
    report = report_of(request(executable="/bin/cat", argv=["cat", "/proc/self/status"]), spawn.Spare())
    masks = [int(report[key][0], 16) & ~INTERNAL_SIGNALS for key in ("SigBlk", "SigIgn", "SigCgt")]
    assert masks == [0, 0, 0]
    failure = spawn.start_child(
        messages.Spawn("g:a", 1, "/nowhere", ["x"], {}, streams=[]), [], {}, spawn.Spare()
    )
    assert isinstance(failure, spawn.Failure)
    assert (failure.stage, failure.message) == ("exec", "couldn't exec /nowhere: ENOENT")


@pytest.mark.parametrize("has_sessions", [True, False])
def test_an_office_finds_its_descriptors_in_their_places(
    monkeypatch: pytest.MonkeyPatch, has_sessions: bool
) -> None:
    if not has_sessions:
        monkeypatch.setattr(os, "posix_spawn", without_sessions)
    reading, writing = os.pipe()
    other = os.open("/dev/zero", os.O_RDONLY)
    program = "import os; os.write(3, os.read(4, 3) + str(os.getsid(0) == os.getpid()).encode())"
    pid = spawn.start_office(
        [sys.executable, "-ISc", program], [writing, other], spawn.Spare(), dict(os.environb)
    )
    os.close(writing)
    os.close(other)
    with open(reading, "rb") as file:
        assert file.read() == b"\0\0\0True"
    assert os.waitpid(pid, 0)[1] == 0


def test_what_has_no_name_in_the_environment_stops_nobody() -> None:
    assert spawn.named({b"": b"x=y", b"A": b"1"}) == {b"A": b"1"}
    with pytest.raises(OSError, match="illegal environment variable name"):
        spawn.start_office(["/bin/true"], [], spawn.Spare(), {b"": b"x=y"})


def test_spares_stay_low_however_often_they_are_lent() -> None:
    spare = spawn.Spare()
    before = sorted(spare._fds)
    for _ in range(5):
        os.waitpid(spawn.start_office(["/bin/true"], [0, 1, 2], spare, {}), 0)
        pid = spawn.start_child(request(), [1], dict(os.environb), spare)
        assert isinstance(pid, int)
        os.waitpid(pid, 0)
    assert sorted(spare._fds) == before
