"""The activity log speaks as supervisord's does: one line for each move that deserves one."""

import pytest
from fleet_agent.core.log_lines import INFO, WARN, move_line, spawned_line
from fleet_agent.core.model import Exit, Process, ProcessSpec, State

pytestmark = pytest.mark.pure

WEB = ProcessSpec("web_00", "web", "/bin/web", startsecs=3)
ALONE = ProcessSpec("cron", "cron", "/bin/cron")


def test_a_spawn() -> None:
    assert spawned_line(WEB, 7) == (INFO, "spawned: 'web:web_00' with pid 7")
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
            Process(State.STOPPING, pid=7, signals=2),
            WARN,
            "killing 'web:web_00' (7) with SIGKILL",
        ),
        ("RUNNING", Process(State.UNKNOWN, reason="EPERM"), WARN, "web:web_00: EPERM"),
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
    ],
)
def test_what_another_line_tells_already(old: str, process: Process) -> None:
    assert move_line(WEB, old, process) is None
