"""Another version takes the place of supervisor and keeper, and the children do not notice."""

import math
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from fakes.supervised_keeper import PROGRAMS, SLEEP, Link, SupervisedKeeper, eventually, is_alive, sh
from fleet_agent.commands.run import version_of
from fleet_agent.keeper import offices
from fleet_agent.keeper.folders import Lock, Locks
from fleet_agent.keeper.handover import Version
from fleet_agent.keeper.holding import Holding
from fleet_agent.keeper.spawn import Spare
from fleet_agent.keeper.supervisors import Supervisors
from fleet_agent.link import messages


def lender(keeper: SupervisedKeeper) -> list[str]:
    """A supervisor that lends its link to the test, of "another version"."""
    return [sys.executable, "-ISu", str(PROGRAMS / "lend_link.py"), str(keeper.folder / "meet")]


def keeper_argv(keeper: SupervisedKeeper) -> list[str]:
    return version_of(sys.executable, "/dev/null", str(keeper.state)).keeper


def prepared(keeper: SupervisedKeeper) -> Link:
    """The supervisor that was started beside the present one, once it has said that it waits."""
    following = keeper.accept(begin=False)
    following.send(messages.Prepared())
    return following


def introduced(link: Link) -> messages.Hello:
    hello = link.expect(messages.Hello)
    link.expect(messages.Begin)
    link.send(messages.Ready())
    return hello


def cmdline(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


@pytest.mark.parametrize("with_keeper", [False, True])
def test_both_are_replaced_under_a_writing_child(keeper: SupervisedKeeper, with_keeper: bool) -> None:
    link = keeper.accept()
    writer = link.spawn("g:a", sh("i=0; while :; do i=$((i+1)); echo $i; done"))
    dying = link.spawn("g:b", ["/bin/sleep", "0.1"])
    link.send(messages.Replace("u1", lender(keeper), keeper_argv(keeper) if with_keeper else []))
    following = prepared(keeper)
    assert link.expect(messages.Yield).upgrade == "u1"
    seen = link.read("g:a", 20_000)
    link.exit(0)
    hello = introduced(following)
    assert (hello.upgrade, hello.reverted, hello.supervisor_number) == ("u1", "", 2)
    assert hello.keeper_pid == keeper.process.pid
    assert ("succeed" in cmdline(keeper.process.pid)) is with_keeper
    children = {m.process: m for m in following.heard if isinstance(m, messages.Child)}
    assert (children["g:a"].pid, children["g:a"].status) == (writer.pid, None)
    assert children["g:b"].pid == dying.pid
    if children["g:b"].status is None:
        assert following.exited("g:b").status == 0
    seen += following.read("g:a", 20_000)
    numbers = seen.split(b"\n")[:-1]
    assert numbers == [b"%d" % number for number in range(1, len(numbers) + 1)]
    following.send(messages.SendSignal("g:a", 1, signal.SIGKILL, 1))
    assert following.exited("g:a").status == signal.SIGKILL, "its parent is still the same"


def test_a_next_supervisor_that_does_not_start_changes_nothing(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.Replace("u1", ["/bin/sh", "-c", "exit 7"]))
    assert link.expect(messages.ReplaceFailed) == ("u1", "its supervisor exited with code 7")
    link.send(messages.Replace("u2", ["/nowhere/python"]))
    assert link.expect(messages.ReplaceFailed).reason == "/nowhere/python: No such file or directory"
    link.spawn("g:a", SLEEP)


def test_a_keeper_that_cannot_read_the_state_is_not_tried(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.Replace("u1", lender(keeper), ["/bin/false"]))
    failed = link.expect(messages.ReplaceFailed)
    assert failed.reason == "its keeper cannot go on with this one's state (exited with code 1)"
    link.spawn("g:a", SLEEP)
    assert "succeed" not in cmdline(keeper.process.pid)


def test_a_second_change_waits_for_nothing(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.Replace("u1", lender(keeper)))
    keeper.accept(begin=False)
    link.send(messages.Replace("u2", lender(keeper)))
    assert link.expect(messages.ReplaceFailed) == ("u2", "another upgrade is under way")


def test_one_that_dies_while_it_waits_is_given_up(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.Replace("u1", lender(keeper)))
    keeper.accept(begin=False).kill()
    assert "was killed by SIGKILL" in link.expect(messages.ReplaceFailed).reason
    link.spawn("g:a", SLEEP)


def test_the_present_one_dies_before_the_next_is_prepared(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.Replace("u1", lender(keeper)))
    following = keeper.accept(begin=False)
    link.kill()
    again = keeper.accept(begin=False)
    hello = introduced(again)
    assert hello.upgrade == "u1"
    assert "ended before the next one was prepared" in hello.reverted
    eventually(lambda: not is_alive(following.pid))
    assert "-IS" in cmdline(again.pid), "the version of before"


@pytest.mark.parametrize("with_keeper", [False, True])
def test_one_that_dies_young_is_taken_back(keeper: SupervisedKeeper, with_keeper: bool) -> None:
    link = keeper.accept()
    child = link.spawn("g:a", SLEEP)
    link.send(messages.Replace("u1", lender(keeper), keeper_argv(keeper) if with_keeper else []))
    following = prepared(keeper)
    link.expect(messages.Yield)
    link.exit(0)
    introduced(following)
    following.kill()
    back = keeper.accept(begin=False)
    hello = introduced(back)
    assert hello.upgrade == "u1"
    assert "the supervisor of the new version ended after" in hello.reverted
    assert "-IS" in cmdline(back.pid)
    assert is_alive(child.pid)
    back.kill()
    assert introduced(keeper.accept(begin=False)).reverted == "", "told once"


def test_one_that_has_stood_is_not_taken_back(
    keeper: SupervisedKeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare, epoll = Spare(), select.epoll()
    with epoll:
        locks = Locks(Lock(str(keeper.folder / "a")), Lock(str(keeper.folder / "b")))
        holding = Holding(str(keeper.state / "run"), {}, spare)
        present = Supervisors(Version(["new"], ["k"]), locks, spare, epoll, holding)
        monkeypatch.setattr(offices, "YOUNG_SECONDS", 0.0)
        for before, version in ((Version(["old"], ["k"]), "new"), (None, "new")):
            present.before = before
            present.life.started(7, time.monotonic())
            present.life.ready()
            present.plan(math.inf, lambda *_: "never")
            assert present.version.supervisor == [version]
            assert (present.before, present.reverted) == (None, "")
    spare.__enter__()


def test_a_keeper_that_cannot_go_on_lets_the_one_before_come_back(
    keeper: SupervisedKeeper, tmp_path: Path
) -> None:
    # It passes the check, and fails when it is in place.
    broken = tmp_path / "broken.py"
    main = keeper_argv(keeper)[2]
    broken.write_text(
        "import sys, runpy\n"
        "if '--check' not in sys.argv:\n"
        "    import fleet_agent.keeper.keeper as k\n"
        "    def fail(*_): raise TypeError('no such thing')\n"
        "    k.Keeper.take_over = fail\n"
        f"sys.argv[0] = {main!r}\n"
        f"runpy.run_path({main!r}, run_name='__main__')\n"
    )
    link = keeper.accept()
    child = link.spawn("g:a", SLEEP)
    argv = keeper_argv(keeper)
    link.send(messages.Replace("u1", lender(keeper), [*argv[:2], str(broken), *argv[3:]]))
    waiting = prepared(keeper)
    link.expect(messages.Yield)
    link.exit(0)
    back = keeper.accept(begin=False)
    hello = introduced(back)
    assert "its keeper could not go on" in hello.reverted
    assert "no such thing" in hello.reverted
    assert str(broken) not in cmdline(keeper.process.pid)
    assert "-IS" in cmdline(back.pid), "the supervisor of the version before"
    eventually(lambda: not is_alive(waiting.pid))
    assert [m.pid for m in back.heard if isinstance(m, messages.Child)] == [child.pid]


def test_what_is_kept_is_given_to_every_later_supervisor(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        link.send(messages.Keep("door", "note"), [listener.fileno()])
        address = listener.getsockname()
        link.send(messages.Replace("u1", lender(keeper), keeper_argv(keeper)))
        following = prepared(keeper)
        link.expect(messages.Yield)
        link.exit(0)
    assert kept(following) == {"door": ("note", address)}
    introduced(following)
    following.send(messages.Keep("door"))
    following.kill()
    assert kept(keeper.accept(begin=False)) == {}


def kept(link: Link) -> dict[str, tuple[str, object]]:
    """What the keeper has given to this supervisor: note and address by name."""
    link.expect(messages.Begin)
    found: dict[str, tuple[str, object]] = {}
    for message, fds in link.kept:
        with socket.socket(fileno=os.dup(fds[0])) as sock:
            found[message.name] = (message.note, sock.getsockname())
    link.heard.insert(0, messages.Begin())
    return found
