"""Reads the files that `[include] files` names into the sections of the main file."""

import os

from fleet_api.errors import BadRequest, FleetError, NotFound

from fleet_agent.config.expand import Names, expand
from fleet_agent.config.ini import MAX_FILE_BYTES, Ini, parse, read_text
from fleet_agent.config.problems import Place, Report

MAX_TOTAL_BYTES = 4 * MAX_FILE_BYTES


def read_included(ini: Ini, path: str, names: Names, report: Report) -> None:
    """Add the included files: patterns in their order, the matches of each by name."""
    section = ini.sections.get("include")
    if section is None:
        return
    entry = ini.entries("include").get("files")
    if entry is None:
        report.error(section.place, ".ini file has [include] section, but no files setting")
        return
    try:
        patterns = expand(entry.value, names).split()
    except BadRequest as error:
        report.error(entry.place, error.message, error.hint)
        return
    read = {_identity(path)}
    left = MAX_TOTAL_BYTES
    for pattern in patterns:
        for match in _matches(os.path.join(os.path.dirname(path), pattern), entry.place, report):
            identity = _identity(match)
            if identity in read:
                report.warn(entry.place, f"{match} is passed over: it is read already")
                continue
            read.add(identity)
            left -= _read_one(ini, match, entry.place, report)
            if left < 0:
                report.error(
                    entry.place, f"the included files are larger than {MAX_TOTAL_BYTES} bytes together"
                )
                return


def _matches(pattern: str, place: Place, report: Report) -> list[str]:
    import glob  # noqa: PLC0415  a file without [include] has no use for it

    matches = sorted(glob.glob(pattern))
    if not matches:
        report.warn(place, f'No file matches via include "{pattern}"')
    return matches


def _identity(path: str) -> tuple[int, int] | str:
    try:
        status = os.stat(path)
    except OSError:
        return path
    return status.st_dev, status.st_ino


def _read_one(ini: Ini, path: str, place: Place, report: Report) -> int:
    """Read one file; returns about how many bytes it had."""
    try:
        text = read_text(path)
    except NotFound:
        report.warn(place, f"{path} is passed over: it leads to no file")
        return 0
    except FleetError as error:
        report.error(Place(path), error.message, error.hint)
        return 0
    parse(ini, text, path, report, included=True)
    return len(text)
