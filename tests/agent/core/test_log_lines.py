"""The activity log speaks as supervisord's does: one line for each move that deserves one."""

import pytest
from fleet_agent.core.events import EndTree, KillTree, SendSignal
from fleet_agent.core.log_lines import (
    CRITICAL,
    DEBUG,
    INFO,
    WARN,
    adopted_line,
    move_line,
    signal_line,
    spawned_line,
    tree_line,
)
from fleet_agent.core.model import Exit, Process, ProcessSpec, State

pytestmark = pytest.mark.pure

WEB = ProcessSpec("web_00", "web", "/bin/web", startsecs=3)
ALONE = ProcessSpec("cron", "cron", "/bin/cron")


def test_descendants() -> None:
    assert tree_line(WEB, EndTree(2, 15)) == (
        DEBUG,
        "looking for descendants of web:web_00 (run 2) to end with SIGTERM",
    )
    assert tree_line(ALONE, EndTree(2, 0)) == (DEBUG, "looking for descendants of cron (run 2)")
    assert tree_line(ALONE, KillTree(2)) == (
        WARN,
        "killing the descendants of 'cron' (run 2) with SIGKILL",
    )


def test_a_spawn() -> None:
    assert spawned_line(WEB, 7) == (INFO, "spawned: 'web:web_00' with pid 7")
    assert adopted_line(WEB, 7) == (INFO, "adopted: 'web:web_00' with pid 7")
    assert spawned_line(ALONE, 8) == (INFO, "spawned: 'cron' with pid 8")


@pytest.mark.parametrize(
    ("old", "process", "level", "text"),
    [
        (
            "STARTING",
            Process(State.RUNNING),
            INFO,
            "success: web:web_00 entered RUNNING state, process has stayed up for > than 3 seconds"
            " (startsecs)",
        ),
        (
            "STARTING",
            Process(State.BACKOFF, exit=Exit(1)),
            WARN,
            "exited: web:web_00 (exit status 1; not expected)",
        ),
        (
            "STARTING",
            Process(State.BACKOFF, spawn_error="can't find command '/bin/web'"),
            INFO,
            "spawnerr: can't find command '/bin/web'",
        ),
        (
            "BACKOFF",
            Process(State.FATAL, exit=Exit(1)),
            INFO,
            "gave up: web:web_00 entered FATAL state, too many start retries too quickly",
        ),
        (
            "RUNNING",
            Process(State.EXITED, exit=Exit(0)),
            INFO,
            "exited: web:web_00 (exit status 0; expected)",
        ),
        (
            "RUNNING",
            Process(State.EXITED, exit=Exit(signal=9), expected_exit=False),
            WARN,
            "exited: web:web_00 (terminated by SIGKILL; not expected)",
        ),
        (
            "STOPPING",
            Process(State.STOPPED, exit=Exit(signal=15)),
            INFO,
            "stopped: web:web_00 (terminated by SIGTERM)",
        ),
        (
            "STOPPING",
            Process(State.STOPPED, exit=Exit(3), expected_exit=False),
            WARN,
            "stopped: web:web_00 (exit status 3)",
        ),
        (
            "STOPPING",
            Process(
                State.STOPPED,
                exit=Exit(0),
                reason="stopped: exit status 0; 2 descendants killed with SIGKILL",
            ),
            INFO,
            "stopped: web:web_00 (exit status 0; 2 descendants killed with SIGKILL)",
        ),
        (
            "STOPPING",
            Process(State.STOPPED, spawn_error="too many open files to spawn 'web_00'"),
            INFO,
            "spawnerr: too many open files to spawn 'web_00'",
        ),
        (
            "RUNNING",
            Process(State.UNKNOWN, pid=7, reason="cannot be signalled: EPERM"),
            CRITICAL,
            "unknown problem killing web:web_00 (7): cannot be signalled: EPERM",
        ),
    ],
)
def test_a_move(old: str, process: Process, level: int, text: str) -> None:
    assert move_line(WEB, old, process) == (level, text)


@pytest.mark.parametrize(
    ("old", "process"),
    [
        ("STOPPED", Process(State.STARTING)),
        ("RUNNING", Process(State.STOPPING, signals=1)),
        ("BACKOFF", Process(State.STOPPED)),
        *((state, Process(state, exit=Exit(1), signals=3)) for state in State),
    ],
)
def test_what_another_line_tells_already(old: str, process: Process) -> None:
    assert move_line(WEB, old, process) is None


@pytest.mark.parametrize(
    ("state", "effect", "level", "text"),
    [
        (State.RUNNING, SendSignal(1, 1, 1), DEBUG, "sending web:web_00 (pid 7) sig SIGHUP"),
        (State.STOPPING, SendSignal(1, 15, 1), DEBUG, "killing web:web_00 (pid 7) with signal SIGTERM"),
        (
            State.STOPPING,
            SendSignal(1, 2, 1, to_group=True),
            DEBUG,
            "killing web:web_00 (pid 7) process group with signal SIGINT",
        ),
        (State.STOPPING, SendSignal(1, 9, 1), DEBUG, "killing web:web_00 (pid 7) with signal SIGKILL"),
        (State.STOPPING, SendSignal(1, 9, 2), WARN, "killing 'web:web_00' (7) with SIGKILL"),
    ],
)
def test_a_signal(state: State, effect: SendSignal, level: int, text: str) -> None:
    assert signal_line(WEB, Process(state, pid=7), effect) == (level, text)
