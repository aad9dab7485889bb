"""The table agrees with what is built from it."""

import pytest
from fleet_agent.config.options import KINDS, kind_of
from fleet_agent.config.settings import DaemonSettings, FleetSettings
from fleet_agent.core.model import ProcessSpec

pytestmark = pytest.mark.pure


@pytest.mark.parametrize(
    ("kind", "settings"), [("supervisord", DaemonSettings()), ("fleet", FleetSettings())]
)
def test_defaults_are_those_of_the_settings(kind: str, settings: DaemonSettings | FleetSettings) -> None:
    table = KINDS[kind].options
    assert set(settings._fields) <= set(table)
    for name, value in settings._asdict().items():
        assert table[name].default == value, name


def test_defaults_are_those_of_a_process() -> None:
    table = KINDS["program"].options
    for name, value in ProcessSpec._field_defaults.items():
        if name in table and table[name].default is not None:
            assert table[name].default == value, name
    assert set(ProcessSpec._fields) - set(table) == {"name", "group", "stdout", "stderr"}


def test_every_option_of_a_served_section_is_described() -> None:
    for kind in KINDS.values():
        if not kind.later:
            assert all(option.doc for option in kind.options.values()), kind.name


@pytest.mark.parametrize(
    ("section", "kind"),
    [
        ("program:a", "program"),
        ("program", None),
        ("supervisord", "supervisord"),
        ("supervisord:x", None),
        ("unix_http_server", "unix_http_server"),
        ("unix_http_server:two", "unix_http_server"),
        ("Program:a", None),
        ("", None),
    ],
)
def test_kind_of(section: str, kind: str | None) -> None:
    found = kind_of(section)
    assert (found.name if found else None) == kind
