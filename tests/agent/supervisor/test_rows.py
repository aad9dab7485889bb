"""A process as a row: every field, for one that runs, one that failed, and one that was never started."""

import pytest
from fleet_agent.core.desires import Desire, DesireKind
from fleet_agent.core.model import Exit, LogSpec, Now, Process, ProcessSpec, State
from fleet_agent.supervisor.rows import to_row
from fleet_api.rows import ProcessRow

pytestmark = pytest.mark.pure

SPEC = ProcessSpec(
    "web_00", "web", "/bin/web", stdout=LogSpec("/var/log/out.log"), stderr=LogSpec("/var/log/err.log")
)
NOW = Now(monotonic=191.5, wall=1_790_000_091.5)


def test_a_running_process() -> None:
    started = Now(monotonic=100.0, wall=1_790_000_000.0)
    process = Process(State.RUNNING, wanted=True, run=3, pid=7, started=started, changed_wall=1_790_000_001.0)
    desire = Desire(DesireKind.DISABLED, "alice", "power", 1_790_000_002.0, "op")
    row = to_row(SPEC, process._replace(reason="up", exit=Exit(1), desire=desire), NOW)
    assert row == ProcessRow(
        name="web_00",
        group="web",
        state="RUNNING",
        pid=7,
        run=3,
        description="pid 7, uptime 0:01:31; disabled by alice: 'power'",
        reason="up",
        start_time=1_790_000_000.0,
        state_time=1_790_000_001.0,
        stop_time=None,
        exit={"code": 1, "signal": None, "core": False},
        failures=0,
        spawn_error="",
        uptime=91.5,
        stdout_logfile="/var/log/out.log",
        stderr_logfile="/var/log/err.log",
        desire={
            "kind": "disabled",
            "actor": "alice",
            "reason": "power",
            "time": 1_790_000_002.0,
            "operation_id": "op",
        },
    )


def test_a_failed_process() -> None:
    process = Process(
        State.FATAL, run=4, failures=4, spawn_error="no such file", stopped_wall=1_790_000_050.0
    )
    row = to_row(SPEC, process, NOW)
    assert (row["state"], row["pid"], row["failures"], row["spawn_error"]) == ("FATAL", 0, 4, "no such file")
    assert (row["stop_time"], row["uptime"], row["exit"]) == (1_790_000_050.0, None, None)


def test_a_process_that_was_never_started() -> None:
    row = to_row(SPEC, Process(), NOW)
    assert (row["state"], row["run"], row["description"]) == ("STOPPED", 0, "Not started")
    assert (row["start_time"], row["state_time"], row["stop_time"], row["uptime"]) == (None, None, None, None)


def test_a_redirected_stream_has_no_log_of_its_own() -> None:
    assert to_row(SPEC._replace(redirect_stderr=True), Process(), NOW)["stderr_logfile"] == ""
