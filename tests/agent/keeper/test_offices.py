"""The lives of supervisor and gateway: pauses between starts, and who is given up when."""

import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import pytest
from fakes.supervised_keeper import SLEEP, Link, SupervisedKeeper, eventually, is_alive, sh
from fleet_agent.keeper import offices
from fleet_agent.link import messages

# Tells its descriptors on 3, then waits until 3 ends; argv[1] is what it does then.
GATEWAY = """
import os, sys, time
def look(fd):
    try: return os.readlink(f"/proc/self/fd/{fd}").split(":")[0]
    except OSError: return "none"
leads = str(os.getpgrp() == os.getpid())
os.write(3, " ".join([str(os.getpid()), look(3), look(4), look(5), leads]).encode())
while os.read(3, 100): pass
if sys.argv[1] == "stay": time.sleep(1000)
sys.exit(int(sys.argv[1]))
"""


def has_said(keeper: SupervisedKeeper, words: str) -> bool:
    return words in keeper.said()


def is_dead(pid: int) -> bool:
    return not is_alive(pid)


def gateway_argv(then: str) -> list[str]:
    return [sys.executable, "-IS", "-c", GATEWAY, then]


@pytest.mark.pure
def test_the_pauses_grow_from_none_to_a_bound() -> None:
    pauses = [offices.pause_before_restart(deaths) for deaths in range(100)]
    assert pauses[:5] == [0.0, 0.0, 0.1, 0.2, 0.4]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 5.0


@pytest.mark.pure
def test_only_deaths_that_come_soon_count() -> None:
    life = offices.SupervisorLife()
    pauses = []
    for seconds in (1.0, 9.9, 1.0, 11.0, 1.0, 1.0):
        life.started(77, 100.0)
        pauses.append(life.ended(100.0 + seconds))
    assert pauses == [0.0, 0.1, 0.2, 0.0, 0.0, 0.1]
    assert life.pid == 0


@pytest.mark.pure
@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with code 0"),
        (0x200, "exited with code 2"),
        (9, "was killed by SIGKILL"),
        (64, "was killed by SIGRTMAX"),
    ],
)
def test_a_status_in_words(status: int, words: str) -> None:
    assert offices.describe_status(status) == words


@pytest.mark.pure
def test_the_gateway_gets_what_it_needs_of_the_environment() -> None:
    needed = {b"PATH": b"/bin", b"LANG": b"C", b"LC_ALL": b"C", b"PYTHONPATH": b"x", b"TZ": b"UTC"}
    others = {b"DATABASE_PASSWORD": b"s3cret", b"AWS_SECRET_ACCESS_KEY": b"k", b"LD_PRELOAD": b"x.so"}
    assert offices.gateway_environment({**needed, **others}) == needed


def test_no_secret_of_the_environment_reaches_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "s3cret")
    with SupervisedKeeper(tmp_path) as keeper:
        link = keeper.accept()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            link.send(messages.StartGateway(gateway_argv("0")), [theirs.fileno()])
            pid = link.expect(messages.GatewayStarted).pid
            ours.recv(1000)
            assert b"s3cret" in Path(f"/proc/{link.pid}/environ").read_bytes()
            assert b"s3cret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_a_supervisor_that_dies_is_started_again(keeper: SupervisedKeeper) -> None:
    for number in range(1, 5):
        link = keeper.accept(begin=False)
        assert link.expect(messages.Hello).supervisor_number == number
        link.kill()
        said = f"(pid {link.pid}) was killed by SIGKILL"
        eventually(partial(has_said, keeper, said))


def test_a_bad_configuration_ends_the_keeper(keeper: SupervisedKeeper) -> None:
    keeper.accept(begin=False).exit(2)
    assert keeper.wait() == 2


def test_code_2_after_ready_is_a_death_like_others(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("exit 0"))
    link.exit(2)
    keeper.accept().exit(1)
    keeper.accept()


def test_code_2_does_not_end_a_keeper_that_holds_children(keeper: SupervisedKeeper) -> None:
    link = keeper.accept(begin=False)
    keeper.note(link.spawn("g:a", SLEEP).pid)
    link.exit(2)
    assert keeper.accept(begin=False).expect(messages.Child).process == "g:a"


def test_garbage_gets_the_supervisor_killed(keeper: SupervisedKeeper) -> None:
    for garbage in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]"):
        link = keeper.accept()
        os.write(link.channel.fileno(), garbage)
        eventually(partial(is_dead, link.pid))
        assert f"(pid {link.pid}) is killed: its link brings garbage" in keeper.said()


@pytest.mark.parametrize(
    "frame",
    [
        {"m": "spawn"},
        {"m": "signal", "process": ["g"], "run": 1, "signal": 9, "ordinal": 1},
        {"m": "release", "process": {}, "run": 1},
    ],
)
def test_a_message_that_cannot_be_gets_the_supervisor_killed(
    keeper: SupervisedKeeper, frame: dict[str, object]
) -> None:
    link = keeper.accept()
    pid = link.spawn("g:a", SLEEP).pid
    link.channel.send(frame)
    eventually(lambda: not is_alive(link.pid))
    assert keeper.accept(begin=False).expect(messages.Child).pid == pid


def test_a_message_of_a_later_version_is_passed_over(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    with open(os.devnull) as file:
        link.channel.send({"m": "yet to come", "x": 1}, [file.fileno()])
        link.send(messages.Begin())
    link.spawn("g:a", SLEEP)
    assert "does not know: yet to come" in keeper.said()


def test_a_supervisor_that_gives_up_its_link_is_killed(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.channel.close()
    assert keeper.accept().pid != link.pid
    assert not is_alive(link.pid)


def test_a_supervisor_that_cannot_be_executed(tmp_path: Path) -> None:
    with SupervisedKeeper(tmp_path, ["/nowhere/python"]) as keeper:
        eventually(lambda: "starting the supervisor fails: /nowhere/python" in keeper.said())
        keeper.process.send_signal(signal.SIGTERM)
        assert keeper.wait() == 0
        assert keeper.said().count("/nowhere/python") == 1


def test_sigterm_ends_an_agent_whose_supervisor_never_comes_up(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pids = [link.spawn("g:a", SLEEP).pid]
    pids.append(link.spawn("g:b", sh('trap "exit 0" TERM; echo up; while :; do sleep 0.01; done')).pid)
    assert link.read("g:b", 3) == b"up\n"
    keeper.process.send_signal(signal.SIGTERM)
    link.expect(messages.Asked)
    link.exit(1)
    keeper.accept(begin=False).exit(1)
    assert all(is_alive(pid) for pid in pids)
    keeper.accept(begin=False).exit(1)
    assert keeper.wait() == 0
    assert not any(is_alive(pid) for pid in pids)
    assert "no supervisor stays up" in keeper.said()


def test_a_child_that_ignores_sigterm_then_is_killed(tmp_path: Path) -> None:
    with SupervisedKeeper(tmp_path, kill_seconds=0.3) as keeper:
        link = keeper.accept()
        pid = link.spawn("g:a", sh('trap "" TERM; echo up; while :; do sleep 0.01; done')).pid
        assert link.read("g:a", 3) == b"up\n"
        keeper.process.send_signal(signal.SIGTERM)
        link.expect(messages.Asked)
        for _ in range(2):
            link.exit(1)
            link = keeper.accept(begin=False)
        link.exit(1)
        assert keeper.wait() == 0
        assert not is_alive(pid)


def test_the_gateway_gets_its_two_descriptors(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket() as port:
        ours.settimeout(20)
        link.send(messages.StartGateway(gateway_argv("0")), [theirs.fileno(), port.fileno()])
        started = link.expect(messages.GatewayStarted)
        theirs.close()
        assert ours.recv(100).decode().split() == [str(started.pid), "socket", "socket", "none", "True"]
        ours.close()
        assert link.expect(messages.GatewayEnded) == messages.GatewayEnded(started.pid, 0)


def test_a_second_gateway_replaces_the_first(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    one, first = start_gateway(link)
    two, second = start_gateway(link)
    ended = link.expect(messages.GatewayEnded)
    assert (ended.pid, os.WTERMSIG(ended.status)) == (one, signal.SIGKILL)
    assert is_alive(two)
    first.close()
    second.close()


def test_a_gateway_that_does_not_leave_after_its_supervisor_is_killed(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    old, end = start_gateway(link)
    link.kill()
    link = keeper.accept()
    new, other_end = start_gateway(link)
    assert is_alive(old), "it has its time to leave"
    ended = link.expect(messages.GatewayEnded)
    assert (ended.pid, os.WTERMSIG(ended.status)) == (old, signal.SIGKILL)
    assert is_alive(new)
    end.close()
    other_end.close()


def test_a_gateway_that_cannot_be_started(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    for argv in (["/nowhere/gateway"], []):
        link.send(messages.StartGateway(argv))
        ended = link.expect(messages.GatewayEnded)
        assert ended.pid == 0
        assert os.WEXITSTATUS(ended.status) == 127


def start_gateway(link: Link) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair()
    with theirs:
        link.send(messages.StartGateway(gateway_argv("stay")), [theirs.fileno()])
        pid = link.expect(messages.GatewayStarted).pid
    ours.settimeout(20)
    assert ours.recv(100)
    return pid, ours


def test_a_supervisor_finds_all_of_our_environment_and_a_setting_of_its_own() -> None:
    ours = {b"PATH": b"/bin", b"SECRET": b"s", b"MALLOC_ARENA_MAX": b"4"}
    assert offices.supervisor_environment(ours) == {**ours, b"MALLOC_TRIM_THRESHOLD_": b"131072"}
