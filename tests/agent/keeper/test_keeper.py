"""A real keeper whose supervisor is the test: links, deaths, signals of the agent, leaving."""

import json
import os
import resource
import signal
import sys
from pathlib import Path

import pytest
from fakes.supervised_keeper import PROGRAMS, SLEEP, SupervisedKeeper, eventually, is_alive, sh
from fleet_agent.link import messages


def test_hello_then_begin(keeper: SupervisedKeeper) -> None:
    link = keeper.accept(begin=False)
    hello = link.expect(messages.Hello)
    assert hello.version == messages.PROTOCOL_VERSION
    assert hello.keeper_pid == keeper.process.pid
    assert hello.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert hello.supervisor_number == 1
    assert hello.asked == []
    link.expect(messages.Begin)


def test_a_writing_child_outlives_its_supervisor_and_no_byte_is_lost(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    spawned = link.spawn("g:a", [sys.executable, "-IS", str(PROGRAMS / "write_numbers.py")])
    before = link.read("g:a", 20_000)
    link.kill()
    link = keeper.accept(begin=False)
    assert link.expect(messages.Hello).supervisor_number == 2
    child = link.expect(messages.Child)
    link.expect(messages.Begin)
    assert (child.pid, child.status, child.adopted) == (spawned.pid, None, False)
    assert child.started_monotonic == spawned.monotonic
    assert is_alive(spawned.pid)
    data = before + link.read("g:a", 200_000)
    lines = data.split(b"\n")[:-1]
    assert lines == [b"%d" % number for number in range(len(lines))]
    os.kill(spawned.pid, signal.SIGKILL)
    assert os.WTERMSIG(link.exited("g:a").status) == signal.SIGKILL


def test_an_end_without_supervisor_is_told_to_the_next_until_it_is_released(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("read line; echo last words; exit 5"))
    writer = os.dup(link.ends["g:a", 1]["stdin"])
    link.spawn("g:b", SLEEP)
    os.kill(link.pid, signal.SIGKILL)
    os.write(writer, b"\n")
    os.close(writer)
    link.close()
    for _ in range(3):
        link = keeper.accept(begin=False)
        child = link.expect(messages.Child, lambda m: m.process == "g:a")
        if child.status is None:
            assert os.WEXITSTATUS(link.exited("g:a").status) == 5
        else:
            assert os.WEXITSTATUS(child.status) == 5
            assert child.ended_wall >= child.started_wall
        link.expect(messages.Begin)
        link.kill()
    link = keeper.accept()
    assert link.read_all("g:a") == b"last words\n"
    link.send(messages.Release("g:a", 1))
    link.spawn("g:c", SLEEP)
    link.kill()
    link = keeper.accept(begin=False)
    assert [link.expect(messages.Child).process for _ in range(2)] == ["g:b", "g:c"]
    link.expect(messages.Hello)
    link.expect(messages.Begin)
    assert link.has_nothing_new()


def test_what_a_dying_supervisor_asked_is_carried_out_once(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    os.kill(keeper.process.pid, signal.SIGSTOP)
    for number in range(50):
        link.ask_spawn(f"g:{number}", SLEEP)
    link.kill()
    os.kill(keeper.process.pid, signal.SIGCONT)
    link = keeper.accept(begin=False)
    children = [link.expect(messages.Child) for _ in range(50)]
    link.expect(messages.Begin)
    assert sorted(child.process for child in children) == sorted(f"g:{number}" for number in range(50))
    assert len({child.pid for child in children if is_alive(child.pid)}) == 50


def test_a_burst_of_spawns_does_not_hold_back_deaths(keeper: SupervisedKeeper) -> None:
    count = 1000
    link = keeper.accept()
    for number in range(count):
        link.ask_spawn(f"g:{number}", ["/bin/true"])
    assert link.channel.wants_write, "both sides must have to read while they write"
    order = []
    spawned = ended = 0
    while ended < count:
        link.turn(10)
        for message in link.heard:
            order.append(type(message))
            if isinstance(message, messages.Spawned):
                spawned += 1
                for fd in link.ends.pop((message.process, 1)).values():
                    os.close(fd)
            if isinstance(message, messages.Exited):
                assert message.status == 0
                ended += 1
                link.send(messages.Release(message.process, 1))
        link.heard.clear()
    assert spawned == count
    assert order.index(messages.Exited) < 200
    eventually(lambda: link.has_nothing_new() and not os.listdir(keeper.state / "run" / "fifos"))


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (signal.SIGTERM, "stop"),
        (signal.SIGINT, "stop"),
        (signal.SIGQUIT, "stop"),
        (signal.SIGHUP, "reload"),
        (signal.SIGUSR2, "reopen"),
    ],
)
def test_signals_of_the_agent(keeper: SupervisedKeeper, number: signal.Signals, what: str) -> None:
    link = keeper.accept()
    keeper.process.send_signal(number)
    assert link.expect(messages.Asked) == messages.Asked(what, number.name)
    link.kill()
    link = keeper.accept(begin=False)
    assert link.expect(messages.Hello).asked == (["stop"] if what == "stop" else [])


def test_leave_ends_with_the_code_and_removes_the_files(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("exit 0"))
    link.exited("g:a")
    link.send(messages.Release("g:a", 1))
    link.send(messages.Leave(7))
    link.wait_for_end()
    link.exit(0)
    assert keeper.wait() == 7
    assert os.listdir(keeper.state / "run") == ["agent.lock"]
    assert "supervisor" not in keeper.said()


def test_leave_does_not_wait_forever_for_the_supervisor(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.send(messages.Leave(0))
    assert keeper.wait() == 0
    assert not is_alive(link.pid)


def test_leave_with_living_children_says_so_and_the_next_keeper_has_them(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", SLEEP).pid)
    link.spawn("g:b", sh("exit 9"))
    link.exited("g:b")
    link.send(messages.Leave(0))
    link.exit(0)
    assert keeper.wait() == 0
    assert f"leaves 1 children running: g:a (pid {pid})" in keeper.said()
    keeper.again()
    link = keeper.accept(begin=False)
    children = {child.process: child for child in (link.expect(messages.Child) for _ in range(2))}
    assert (children["g:a"].pid, children["g:a"].status, children["g:a"].adopted) == (pid, None, True)
    assert os.WEXITSTATUS(children["g:b"].status or 0) == 9


def test_detach_ends_and_leaves_the_children(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", SLEEP).pid)
    link.send(messages.Detach())
    assert keeper.wait() == 0
    assert is_alive(pid)
    link.kill()
    keeper.again()
    assert keeper.accept(begin=False).expect(messages.Child).pid == pid


def test_a_supervisor_that_is_asked_to_detach_says_when(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", SLEEP).pid)
    keeper.process.send_signal(signal.SIGUSR1)
    assert link.expect(messages.Asked) == messages.Asked("detach", "SIGUSR1")
    assert is_alive(keeper.process.pid)
    link.send(messages.Detach())
    link.wait_for_end()
    link.exit(0)
    assert keeper.wait() == 0
    assert is_alive(pid)


def test_a_supervisor_that_is_asked_to_stop_and_stuck_is_replaced(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = link.spawn("g:a", SLEEP).pid
    keeper.process.send_signal(signal.SIGTERM)
    assert link.expect(messages.Asked).what == "stop"
    link.expect(messages.Ping)
    eventually(lambda: not is_alive(link.pid))
    assert "is killed: it does not answer" in keeper.said()
    link = keeper.accept(begin=False)
    assert link.expect(messages.Hello).asked == ["stop"]
    assert is_alive(pid)


def test_a_supervisor_that_answers_may_take_its_time_to_stop(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    link.spawn("g:a", sh("exit 0"))
    keeper.process.send_signal(signal.SIGTERM)
    link.expect(messages.Ping)
    link.send(messages.Pong())
    keeper.process.send_signal(signal.SIGTERM)
    link.expect(messages.Asked, lambda asked: asked.what == "stop")
    assert is_alive(link.pid)
    link.send(messages.Leave(0))
    link.exit(0)
    assert keeper.wait() == 0
    assert "killed" not in keeper.said()


def test_the_keeper_detaches_alone_when_no_supervisor_serves(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", SLEEP).pid)
    link.kill()
    keeper.accept(begin=False)
    keeper.process.send_signal(signal.SIGUSR1)
    assert keeper.wait() == 0
    assert is_alive(pid)
    assert "leaves without it" in keeper.said()


def test_a_supervisor_that_ends_instead_of_detaching_is_not_replaced(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = keeper.note(link.spawn("g:a", SLEEP).pid)
    keeper.process.send_signal(signal.SIGUSR1)
    assert link.expect(messages.Asked).what == "detach"
    link.kill()
    assert keeper.wait() == 0
    assert is_alive(pid)
    assert "leaves without it" not in keeper.said()


def test_a_death_in_the_moment_of_leaving_is_on_record(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    pid = link.spawn("g:a", SLEEP).pid
    os.kill(keeper.process.pid, signal.SIGSTOP)
    link.send(messages.Leave(0))
    os.kill(pid, signal.SIGKILL)
    link.kill()
    # The kernel tells of the older one first, and the keeper leaves as soon as its supervisor is gone.
    eventually(lambda: not is_alive(pid) and not is_alive(link.pid))
    os.kill(keeper.process.pid, signal.SIGCONT)
    assert keeper.wait() == 0
    (record,) = (keeper.state / "run" / "runs").glob("*.json")
    assert json.loads(record.read_text())["status"] == signal.SIGKILL


def test_a_supervisor_that_asks_to_leave_and_is_gone_at_once_is_obeyed(keeper: SupervisedKeeper) -> None:
    link = keeper.accept()
    os.kill(keeper.process.pid, signal.SIGSTOP)
    link.send(messages.Leave(5))
    link.send(messages.Release("g:a", 1))
    link.kill()
    os.kill(keeper.process.pid, signal.SIGCONT)
    assert keeper.wait() == 5


def test_a_supervisor_that_does_not_read_holds_nobody_back(keeper: SupervisedKeeper) -> None:
    count = 400
    link = keeper.accept()
    for number in range(count):
        link.ask_spawn(f"g:{number}", ["/bin/true"])
    while link.channel.wants_write:
        link.channel.flush()
    # All have come and gone; nothing of it was read here.
    eventually(lambda: len(os.listdir(keeper.state / "run" / "runs")) == count)
    link.kill()
    link = keeper.accept(begin=False)
    children = [link.expect(messages.Child) for _ in range(count)]
    assert len({child.process for child in children}) == count
    ended = [child for child in children if child.status is not None]
    for child in children:
        if child not in ended:
            link.exited(child.process)
    link.expect(messages.Begin)


def test_a_keeper_whose_children_took_all_descriptors_still_starts_a_supervisor(tmp_path: Path) -> None:
    def poor() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (120, 120))

    with SupervisedKeeper(tmp_path, preexec_fn=poor) as keeper:
        link = keeper.accept()
        for number in range(40):
            link.ask_spawn(f"g:{number}", SLEEP, nofile=100)
        failed = link.expect(messages.SpawnFailed)
        assert (failed.stage, failed.errno) == ("limit", 24)
        link.kill()
        link = keeper.accept(begin=False)
        first = link.expect(messages.Child)
        link.expect(messages.Begin)
        link.send(messages.SendSignal(first.process, 1, signal.SIGKILL, 1))
        link.exited(first.process)
        link.send(messages.Release(first.process, 1))
        link.spawn("g:more", SLEEP, nofile=100)
