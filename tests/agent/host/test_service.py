"""What systemd prints, and what is made of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from fleet_agent.host import service

SHOWN = {
    "LoadState": "loaded",
    "FragmentPath": "/etc/systemd/system/fleet-agent.service",
    "UnitFileState": "enabled",
    "ExecStart": "{ path=/bin/fleet-agent ; argv[]=/bin/fleet-agent run -c /etc/a.conf }",
    "Type": "notify",
    "KillMode": "process",
    "TimeoutStopUSec": "4min 30s",
    "Delegate": "yes",
    "LimitNOFILE": "524288",
}


@pytest.mark.pure
def test_a_unit_as_it_is_shown() -> None:
    unit = service.unit_of(SHOWN)
    assert unit is not None
    assert (unit.is_enabled, unit.kind, unit.kill_mode, unit.delegates) == (True, "notify", "process", True)
    assert (unit.stop_seconds, unit.open_files) == (270.0, 524288)
    assert service.unit_of({"LoadState": "not-found"}) is None
    assert service.unit_of({}) is None


def test_the_environment_of_a_program_is_found_through_links(tmp_path: Path) -> None:
    venv = tmp_path / "fleet-1.1"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (tmp_path / "current").symlink_to(venv)
    program = str(tmp_path / "current" / "bin" / "fleet-agent")
    assert service.environment_of(program) == str(venv)
    unit = service.unit_of({**SHOWN, "ExecStart": f"{{ path={program} ; argv[]={program} run }}"})
    assert unit is not None
    assert unit.environment == str(venv)
    assert service.environment_of("/usr/bin/fleet-agent") == service.environment_of("") == ""


@pytest.mark.pure
@pytest.mark.parametrize(
    ("text", "seconds"),
    [("infinity", None), ("1min 30s", 90.0), ("500ms", 0.5), ("1h", 3600.0), ("", None), ("4 cows", None)],
)
def test_spans_of_time(text: str, seconds: float | None) -> None:
    unit = service.unit_of({**SHOWN, "TimeoutStopUSec": text})
    assert unit is not None
    assert unit.stop_seconds == seconds


@pytest.mark.pure
@pytest.mark.parametrize(
    ("timedatectl", "chronyc", "expected"),
    [
        ("yes\n", "", True),
        ("no\n", "", False),
        ("", "Leap status     : Normal\n", True),
        ("", "Leap status     : Not synchronised\n", False),
        ("", "", None),
    ],
)
def test_the_clock(
    timedatectl: str, chronyc: str, expected: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.exists", lambda path: False)

    def ask(argv: Sequence[str]) -> str:
        return timedatectl if argv[0] == "timedatectl" else chronyc

    assert service.is_clock_synchronized(ask) is expected


def test_a_host_whose_commands_say_nothing_or_nonsense() -> None:
    for text in ("", "=\n", "LoadState=loaded\n", "\x00"):
        service.gather(0, {}, lambda argv, text=text: text)  # type: ignore[misc]
