"""From `[program:x]` and `[group:x]` sections to groups of process specs.

Called by `config.load` once the settings of the agent itself are read.
"""

from typing import Any

from fleet_api.errors import BadRequest

from fleet_agent.config.ini import Entry
from fleet_agent.config.options import KINDS
from fleet_agent.config.problems import Place, nearest
from fleet_agent.config.reading import Reading
from fleet_agent.config.values import AUTO_LOG, NO_LOG, SYSLOG, to_name
from fleet_agent.core.model import GroupSpec, LogSpec, ProcessSpec
from fleet_agent.core.ordering import ordered_processes, start_order

MAX_PROCESSES = 10_000
"""Of one program; more is a slip of the pen."""

_PROGRAM = KINDS["program"]
_GROUP = KINDS["group"]
_DEFAULTS = {
    name: option.default
    for name, option in _PROGRAM.options.items()
    if name in ProcessSpec._fields and option.default is not None
}


def read_groups(reading: Reading) -> tuple[GroupSpec, ...]:
    """All groups in their order of start; programs that no group names are groups of their own."""
    programs = _names(reading, "program")
    grouped: dict[str, str] = {}
    groups: list[tuple[GroupSpec, Place]] = []
    for name, section in _names(reading, "group").items():
        groups.append(_read_group(reading, name, section, programs, grouped))
    for name, section in programs.items():
        if name not in grouped:
            place = reading.ini.sections[section].place
            specs = _read_program(reading, section, name, name)
            priority = specs[0].priority if specs else 999
            groups.append((GroupSpec(name, priority, tuple(sorted(specs, key=_by_name))), place))
    return _without_namesakes(reading, groups)


def _by_name(spec: ProcessSpec) -> str:
    return spec.name


def _names(reading: Reading, kind: str) -> dict[str, str]:
    """The names of all sections of a kind, with the section of each; bad names are reported."""
    found: dict[str, str] = {}
    for section in reading.ini.sections.values():
        prefix, colon, rest = section.name.partition(":")
        if prefix != kind or not colon:
            continue
        try:
            name = to_name(rest)
        except BadRequest as error:
            reading.report.error(section.place, error.message, error.hint)
            continue
        if name in found:
            first = reading.ini.sections[found[name]].place
            reading.report.warn(
                section.place, f"{name} is defined at {first.file}:{first.line}; this one is not used"
            )
        else:
            found[name] = section.name
    return found


def _read_group(
    reading: Reading, name: str, section: str, programs: dict[str, str], grouped: dict[str, str]
) -> tuple[GroupSpec, Place]:
    place = reading.ini.sections[section].place
    values = reading.values(section, _GROUP, {**reading.names, "group_name": name})
    listed = reading.ini.entries(section).get("programs", Entry("", place)).place
    specs: list[ProcessSpec] = []
    for program in dict.fromkeys(values.get("programs", ())):
        if program not in programs:
            _report_stranger(reading, section, program, listed, list(programs))
            continue
        if program in grouped:
            message = f"{program} is also in [{grouped[program]}]: each group runs processes of its own"
            reading.report.warn(listed, message)
        grouped[program] = section
        specs.extend(sorted(_read_program(reading, programs[program], program, name), key=_by_name))
    unique = {spec.name: spec for spec in specs}
    if len(unique) < len(specs):
        names = [spec.name for spec in specs]
        twice = ", ".join(sorted({found for found in names if names.count(found) > 1})[:10])
        reading.report.warn(listed, f"more than one process is named {twice}; only the last of each is used")
    return GroupSpec(name, values.get("priority", 999), ordered_processes(unique.values())), place


def _report_stranger(reading: Reading, section: str, program: str, place: Place, known: list[str]) -> None:
    if f"fcgi-program:{program}" in reading.ini.sections:
        reading.report.warn(
            place, f"{program} is an fcgi-program, which is not supported yet, and is passed over"
        )
        return
    message = f"[{section}] names unknown program or fcgi-program {program}"
    reading.report.error(place, message, nearest(program, known))


def _without_namesakes(reading: Reading, groups: list[tuple[GroupSpec, Place]]) -> tuple[GroupSpec, ...]:
    """The groups in order; of two with one name the first is used, and the other reported."""
    places: dict[str, Place] = {}
    kept: list[GroupSpec] = []
    for group, place in sorted(groups, key=lambda pair: (pair[0].priority, pair[0].name)):
        first = places.setdefault(group.name, place)
        if first is place:
            kept.append(group)
        else:
            taken = f"[{first.section}] at {first.file}:{first.line}"
            message = f"{group.name} is also the name of {taken}; this one is not used"
            reading.report.warn(place, message, "give one of the two another name")
    return start_order(kept)


def _read_program(reading: Reading, section: str, program: str, group: str) -> list[ProcessSpec]:
    """The processes of a program inside a group; none when something is wrong."""
    entries = reading.ini.entries(section)
    place = reading.ini.sections[section].place
    names = {**reading.names, "program_name": program, "group_name": group}
    values = reading.values(section, _PROGRAM, names)
    report = reading.report
    if "command" not in entries:
        report.error(place, f"program section {section} does not specify a command", "add command=")
    if values.get("stopasgroup") and values.get("killasgroup") is False:
        report.error(entries["killasgroup"].place, "Cannot set stopasgroup=true and killasgroup=false")
    count = values.get("numprocs", 1)
    if count > MAX_PROCESSES:
        report.error(entries["numprocs"].place, f"{count} is more than {MAX_PROCESSES} processes")
        return []
    if count > 1 and "%(process_num)" not in (
        entries["process_name"].value if "process_name" in entries else ""
    ):
        where = entries["process_name" if "process_name" in entries else "numprocs"].place
        message = "%(process_num) must be present within process_name when numprocs > 1"
        report.error(where, message, "such as process_name=%(program_name)s_%(process_num)02d")
        return []
    start = values.get("numprocs_start", 0)
    specs: list[ProcessSpec] = []
    for number in range(start, start + count):
        spec = _read_process(
            reading, entries, values, {**names, "process_num": number, "numprocs": count}, place
        )
        if spec is None:
            return []
        specs.append(spec)
    doubt = _doubt(specs[0].command) if specs else ""
    if doubt:
        report.warn(entries["command"].place, doubt)
    return specs


def _doubt(command: str) -> str:
    """Why no process can come of a command; empty when it is worth a try."""
    if not any(quote in command for quote in "'\"\\"):
        return "" if command.split() else "is empty: nothing can be started"
    import shlex  # noqa: PLC0415  most commands do not need it

    try:
        words = shlex.split(command)
    except ValueError as error:
        return f"cannot be split into words, so that nothing can be started: {error}"
    return "" if words else "is empty: nothing can be started"


def _read_process(
    reading: Reading,
    entries: dict[str, Entry],
    shared: dict[str, Any],
    names: dict[str, str | int],
    place: Place,
) -> ProcessSpec | None:
    own: dict[str, Any] = {}
    good = True
    environment = entries.get("environment")
    if environment is not None:
        good = reading.value(_PROGRAM.options["environment"], environment, names, own)
        names.update((f"ENV_{name}", value) for name, value in own.get("environment", ()))
    for name, option in _PROGRAM.options.items():
        if option.each and name != "environment" and name in entries:
            good = reading.value(option, entries[name], names, own) and good
    if not good or "command" not in own:
        return None
    values = {**_DEFAULTS, **shared, **own}
    fields = {name: values[name] for name in ProcessSpec._fields if name in values}
    fields["name"] = own.get("process_name", names["program_name"])
    fields["group"] = names["group_name"]
    fields["killasgroup"] = values.get("killasgroup", values["stopasgroup"])
    fields["stdout"] = _log(reading, "stdout", values, entries, place)
    fields["stderr"] = _log(reading, "stderr", values, entries, place)
    return ProcessSpec(**fields)


def _log(
    reading: Reading, stream: str, values: dict[str, Any], entries: dict[str, Entry], place: Place
) -> LogSpec:
    target = values.get(f"{stream}_logfile", AUTO_LOG)
    entry = entries.get(f"{stream}_logfile")
    where = entry.place if entry else place
    if stream == "stderr" and values["redirect_stderr"]:
        if target not in (AUTO_LOG, NO_LOG):
            reading.report.warn(where, "is not used, because redirect_stderr writes stderr where stdout goes")
        return LogSpec(NO_LOG)
    if target == SYSLOG:
        reading.report.warn(where, "syslog is not supported yet: the output goes to an automatic file")
        target = AUTO_LOG
    maxbytes = values.get(f"{stream}_logfile_maxbytes", LogSpec().maxbytes)
    backups = values.get(f"{stream}_logfile_backups", LogSpec().backups)
    if target == AUTO_LOG and maxbytes == 0:
        limit = entries[f"{stream}_logfile_maxbytes"].place
        reading.report.warn(limit, "an automatic log that is never rotated grows without bound")
    log = LogSpec("" if target == AUTO_LOG else target, target == AUTO_LOG, maxbytes, backups)
    return reading.shared(log)
