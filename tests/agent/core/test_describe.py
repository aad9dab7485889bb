"""The words about a process."""

import signal
import time

import pytest
from fleet_agent.core.describe import (
    LocalTime,
    description,
    exit_text,
    signal_name,
    stop_time_text,
    tree_text,
    uptime,
)
from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.core.model import Exit, Now, Process, ProcessSpec, State

pytestmark = pytest.mark.pure

SPEC = ProcessSpec("web", "web", "run")
NOW = Now(5000.0, 1.7e9)
DISABLED = Desire(DesireKind.DISABLED, "alice", "", 1.0)
STOPPED = Desire(DesireKind.STOPPED, "bob", "why", 1.0)


def describe(process: Process) -> str:
    return description(process, SPEC, NOW, lambda _: LocalTime(11, 21, 19, 37))


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (Exit(0), "exit status 0"),
        (Exit(127), "exit status 127"),
        (Exit(None, 15), "terminated by SIGTERM"),
        (Exit(None, 11, True), "terminated by SIGSEGV (core dumped)"),
        (Exit(None, 40), "terminated by signal 40"),
        (Exit(), "exit status unknown"),
    ],
)
def test_exit_text(end: Exit, text: str) -> None:
    assert exit_text(end) == text


@pytest.mark.skipif(int(signal.SIGUSR1) != 10, reason="the table holds Linux's numbers")
def test_signal_names_are_the_kernels() -> None:
    for known in signal.Signals:
        assert signal.Signals[signal_name(known)] == known


@pytest.mark.parametrize(
    ("process", "text"),
    [
        (Process(State.RUNNING, pid=7, started=Now(4909.0, 0)), "pid 7, uptime 0:01:31"),
        (Process(State.RUNNING, pid=7, started=Now(9999.0, 0)), "pid 7, uptime 0:00:00"),
        (Process(State.BACKOFF, spawn_error="Exited too quickly"), "Exited too quickly"),
        (Process(State.FATAL), 'unknown error (try "tail web")'),
        (Process(State.STOPPED), "Not started"),
        (Process(State.STOPPED, stopped_wall=1.0), "Nov 21 07:37 PM"),
        (Process(State.EXITED, stopped_wall=1.0, spawn_error="Bad exit code 1"), "Nov 21 07:37 PM"),
        (Process(State.STARTING, pid=7, started=NOW), ""),
        (Process(State.STOPPING, pid=7, started=NOW), ""),
        (Process(State.UNKNOWN), ""),
        (Process(State.STOPPED, desire=DISABLED), "Not started; disabled by alice"),
        (Process(State.STOPPED, stopped_wall=1.0, desire=DISABLED), "Nov 21 07:37 PM; disabled by alice"),
        (
            Process(State.RUNNING, pid=7, started=NOW, desire=DISABLED),
            "pid 7, uptime 0:00:00; disabled by alice",
        ),
        (Process(State.STOPPING, desire=DISABLED), "disabled by alice"),
        (Process(State.STOPPED, desire=STOPPED), "Not started; stopped by bob: 'why'"),
        (Process(State.STOPPED, stopped_wall=1.0, desire=STOPPED), "Nov 21 07:37 PM"),
    ],
)
def test_description(process: Process, text: str) -> None:
    assert describe(process) == text


def test_uptime_is_of_what_lives() -> None:
    assert uptime(Process(State.RUNNING, pid=7, started=Now(4990.0, 0)), NOW) == 10.0
    assert uptime(Process(State.EXITED, started=Now(4990.0, 0)), NOW) is None


@pytest.mark.parametrize("hour", range(24))
def test_stop_time_reads_as_strftime_does(hour: int) -> None:
    parts = time.struct_time((2025, 3, 4, hour, 5, 0, 1, 63, 0))
    local = LocalTime(parts.tm_mon, parts.tm_mday, parts.tm_hour, parts.tm_min)
    assert stop_time_text(local) == time.strftime("%b %d %I:%M %p", parts)


def test_what_became_of_descendants() -> None:
    assert tree_text(0, 0, "", 15) == ""
    assert (
        tree_text(2, 1, "1 descendant cannot be signalled: no", 15)
        == "2 descendants ended after SIGTERM; 1 descendant killed with SIGKILL; "
        "1 descendant cannot be signalled: no"
    )


def test_the_cause_of_a_death_by_signal_is_told() -> None:
    assert exit_text(Exit(signal=9, cause="why")) == "terminated by SIGKILL: why"
    assert Exit.from_state(Exit(signal=9, cause="why").to_state()) == Exit(signal=9, cause="why")
    assert Exit.from_state({"code": 1, "signal": None, "core": False}) == Exit(code=1)
