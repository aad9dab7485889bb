"""Every module has its tests where a reader looks for them: `tests/<program>/<room>/test_<module>.py`."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("agent/fleet_agent", "controller/fleet_controller", "cli/fleet_cli", "proto/fleet_api")

COVERED_BY: dict[str, str] = {
    "agent/fleet_agent/supervisor/world.py": "tests/agent/supervisor/test_agent.py",
    "agent/fleet_agent/keeper/replacing.py": "tests/agent/keeper/test_supervisors.py",
    "agent/fleet_agent/supervisor/acting.py": "tests/agent/supervisor/test_agent.py",
    "agent/fleet_agent/commands/succeed.py": "tests/agent/keeper/test_supervisors.py",
    "agent/fleet_agent/commands/upgrade.py": "tests/e2e/test_upgrade.py",
    "agent/fleet_agent/supervisor/upgrading.py": "tests/e2e/test_upgrade.py",
    "agent/fleet_agent/formats/held.py": "tests/agent/formats/test_table.py",
    "agent/fleet_agent/supervisor/journal_file.py": "tests/agent/supervisor/test_journal.py",
    "agent/fleet_agent/supervisor/logs/answers.py": "tests/agent/supervisor/logs/test_worker.py",
    "agent/fleet_agent/supervisor/log_answers.py": "tests/agent/supervisor/test_requests.py",
    "agent/fleet_agent/supervisor/trees/asking.py": "tests/agent/supervisor/test_requests.py",
    "agent/fleet_agent/supervisor/trees/showing.py": "tests/agent/supervisor/trees/test_trees.py",
    "agent/fleet_agent/config/reading.py": "tests/agent/config/test_load.py",
    "agent/fleet_agent/config/settings.py": "tests/agent/config/test_load.py",
    "agent/fleet_agent/core/events.py": "tests/agent/core/test_machine.py",
    "agent/fleet_agent/core/steps.py": "tests/agent/core/test_machine.py",
    "agent/fleet_agent/core/model.py": "tests/agent/core/test_machine.py",
    "agent/fleet_agent/host/check.py": "tests/agent/commands/test_doctor.py",
    "agent/fleet_agent/host/facts.py": "tests/agent/host/test_gathering.py",
    "agent/fleet_agent/keeper/supervisor_link.py": "tests/agent/keeper/test_keeper.py",
    "controller/fleet_controller/session.py": "tests/controller/test_sessions.py",
    "cli/fleet_cli/commands/pki.py": "tests/cli/test_pki.py",
    "proto/fleet_api/credentials.py": "tests/proto/test_tls.py",
    "proto/fleet_api/hostrange.py": "tests/proto/test_hostset.py",
    "proto/fleet_api/version.py": "tests/cli/commands/test_version.py",
}
"""Modules that are tested through another door than a file of their own name."""


def modules() -> list[str]:
    """Every module that people wrote, as a path from the root."""
    return [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.name not in {"__init__.py", "main.py"} and "_pb2" not in path.name
    ]


def mirror(module: str) -> str:
    """Where the tests of a module belong."""
    program, _, *rooms, name = Path(module).parts
    return str(Path("tests", program, *rooms, f"test_{name}"))


def test_every_module_has_its_tests() -> None:
    bare = [
        module for module in modules() if module not in COVERED_BY and not (ROOT / mirror(module)).is_file()
    ]
    assert bare == [], "write the file, or say in COVERED_BY which test covers it"


def test_the_exceptions_are_true() -> None:
    known = set(modules())
    for module, test in COVERED_BY.items():
        assert module in known, f"{module} is gone"
        assert (ROOT / test).is_file(), f"{test} is gone"
        assert not (ROOT / mirror(module)).is_file(), f"{module} has a test file of its own now"


def test_a_place_is_found_as_documented() -> None:
    assert mirror("agent/fleet_agent/core/machine.py") == "tests/agent/core/test_machine.py"
    assert mirror("proto/fleet_api/names.py") == "tests/proto/test_names.py"
