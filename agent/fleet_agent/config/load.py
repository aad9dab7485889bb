"""Loads a configuration file: every problem at once, and the whole of it checked, or nothing.

Called by the supervisor when the agent starts, and by `fleet-agent check`.
"""

import os
from collections.abc import Mapping
from typing import NamedTuple

from fleet_api.errors import FleetError

from fleet_agent.config.include import read_included
from fleet_agent.config.ini import Ini, parse, read_text
from fleet_agent.config.options import KINDS, Kind, kind_of
from fleet_agent.config.problems import Place, Problem, Report, nearest
from fleet_agent.config.programs import read_groups
from fleet_agent.config.reading import Reading
from fleet_agent.config.settings import AgentConfig, DaemonSettings, FleetSettings

_WORTH_RUNNING = ("supervisord", "fleet", "program", "group", "include")


class Loaded(NamedTuple):
    """What a file says; `config` is None when a problem is an error."""

    config: AgentConfig | None
    problems: tuple[Problem, ...]


def load(path: str, environ: Mapping[str, str], *, host_name: str, strict: bool = False) -> Loaded:
    """Read a configuration file and what it includes.

    `environ` is what `%(ENV_X)s` means, `host_name` what `%(host_node_name)s` means. `strict` makes
    warnings errors. Raises nothing for what a file may hold.
    """
    path = os.path.abspath(path)
    report = Report(strict)
    try:
        text = read_text(path)
    except FleetError as error:
        report.error(Place(path), error.message, error.hint)
        return Loaded(None, report.result(path))
    ini = Ini()
    parse(ini, text, path, report)
    reading = Reading(ini, report, environ, host_name, os.getcwd())
    read_included(ini, path, {**reading.names, "here": os.path.dirname(path)}, report)
    _check_sections(reading, path)
    daemon = _read_daemon(reading)
    fleet = _read_fleet(reading)
    groups = read_groups(reading)
    config = None if report.has_errors else AgentConfig(path, daemon, fleet, groups)
    return Loaded(config, report.result(path))


def _check_sections(reading: Reading, path: str) -> None:
    kinds: set[str] = set()
    for section in reading.ini.sections.values():
        kind = kind_of(section.name)
        if kind is None:
            reading.report.warn(
                section.place, "unknown section, without effect", _nearest_section(section.name)
            )
            continue
        kinds.add(kind.name)
        if kind.later:
            reading.report.warn(section.place, kind.later)
        if (kind.later and not kind.open) or kind.name == "include":
            _check_keys(reading, section.name, kind)
    for key, entry in reading.ini.defaults.entries.items():
        if not any(key in kind.options or kind.open for kind in KINDS.values() if kind.name in kinds):
            known = [name for kind in KINDS.values() for name in kind.options]
            reading.report.warn(entry.place, "unknown key, without effect", nearest(key, known))
    if not kinds.intersection(_WORTH_RUNNING):
        message = ".ini file does not include supervisord section, nor any program"
        reading.report.error(Place(path), message, "is the file cut short?")


def _check_keys(reading: Reading, section: str, kind: Kind) -> None:
    for key, entry in reading.ini.sections[section].entries.items():
        if key not in kind.options:
            reading.report.warn(entry.place, "unknown key, without effect", nearest(key, list(kind.options)))


def _nearest_section(section: str) -> str:
    name, colon, rest = section.strip().partition(":")
    kinds = [kind.name for kind in KINDS.values() if (kind.named if colon else kind.bare)]
    if name.strip() in kinds:
        return f'did you mean "[{name.strip()}{colon}{rest.strip()}]"?'
    if name in KINDS:
        return f'did you mean "[{name}]"?' if colon else f'write "[{name}:NAME]"'
    found = nearest(name, kinds)
    return found.replace('"?', f':{rest}"?') if found and colon else found


def _read_daemon(reading: Reading) -> DaemonSettings:
    """The `[supervisord]` section; leaves its environment and directory to the sections read after it."""
    kind = KINDS["supervisord"]
    entries = reading.ini.entries("supervisord")
    if "directory" in entries and "supervisord" in reading.ini.sections:
        first = {"directory": ""}
        if reading.value(kind.options["directory"], entries["directory"], reading.names, first):
            reading.working = first["directory"]
    values = (
        reading.values("supervisord", kind, reading.names) if "supervisord" in reading.ini.sections else {}
    )
    reading.names.update((f"ENV_{name}", value) for name, value in values.get("environment", ()))
    settings = DaemonSettings(
        **{name: value for name, value in values.items() if name in DaemonSettings._fields}
    )
    return settings._replace(
        logfile=settings.logfile
        if settings.logfile == "syslog"
        else os.path.join(reading.working, settings.logfile),
        pidfile=os.path.join(reading.working, settings.pidfile),
    )


def _read_fleet(reading: Reading) -> FleetSettings:
    section = reading.ini.sections.get("fleet")
    if section is None:
        return FleetSettings()
    settings = FleetSettings(**reading.values("fleet", KINDS["fleet"], reading.names))
    entries = reading.ini.entries("fleet")
    if settings.insecure_plaintext:
        for name in ("certificate", "key", "ca"):
            if entries.get(name, ("",))[0]:
                message = "is given although insecure_plaintext=true"
                reading.report.error(entries[name].place, message, "remove one of the two")
    elif settings.listen:
        missing = [name for name in ("certificate", "key", "ca") if not entries.get(name, ("",))[0]]
        if missing:
            message = f"listen needs {', '.join(missing)} as well"
            hint = "fleetctl pki issue makes them; only insecure_plaintext=true does without"
            reading.report.error(entries["listen"].place, message, hint)
    return settings
