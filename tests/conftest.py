"""What holds for every test: how dice are thrown, how long a folder may take, and where time went.

`make test` sets FLEET_TEST_BUDGET; then a folder beyond its budget fails the run.
"""

import contextlib
import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from real import cgroups

BUDGET_SECONDS = {
    "agent": 270,
    "chaos": 60,
    "cli": 40,
    "controller": 80,
    "proto": 30,
    "e2e": 700,
    ".": 20,
}
"""Sum of the durations of a folder's tests over all workers; about one and a half times what is usual.

Two workers do it twice, as root and as a plain user: so their sum is also the longest that `make test` may
take. Usual are 13 minutes.
"""
assert sum(BUDGET_SECONDS.values()) <= 20 * 60

settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("dice", parent=settings.get_profile("steady"), derandomize=False)
settings.load_profile("dice" if os.environ.get("FLEET_TEST_DICE") else "steady")

_spent: dict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    parts = Path(report.location[0]).parts
    _spent[parts[1] if len(parts) > 2 else "."] += report.duration


def _over_budget() -> list[str]:
    return [
        f"tests/{folder} took {seconds:.0f} s; its budget is {BUDGET_SECONDS.get(folder, 60)} s"
        for folder, seconds in sorted(_spent.items())
        if seconds > BUDGET_SECONDS.get(folder, 60)
    ]


def pytest_sessionfinish(session: pytest.Session) -> None:
    is_worker = hasattr(session.config, "workerinput")
    if not is_worker:
        with contextlib.suppress(OSError):
            cgroups.sweep_old()
    if os.environ.get("FLEET_TEST_BUDGET") and not is_worker and _over_budget() and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if os.environ.get("FLEET_TEST_BUDGET"):
        for folder, seconds in sorted(_spent.items()):
            terminalreporter.write_line(f"tests/{folder}: {seconds:.1f} s")
        for line in _over_budget():
            terminalreporter.write_line(line, red=True)
