"""From the entries of a section to checked values: expansion, conversion, and a report of what fails.

Used by `config.load` and `config.programs`.
"""

import os
import pwd
from collections.abc import Mapping
from typing import Any

from fleet_api.errors import BadRequest

from fleet_agent.config.environment import doubts, to_environment
from fleet_agent.config.expand import Names, expand
from fleet_agent.config.ini import Entry, Ini
from fleet_agent.config.options import Kind, Option
from fleet_agent.config.problems import Report, nearest
from fleet_agent.config.values import to_log
from fleet_agent.core.model import LogSpec


class Reading:
    """What is needed to read any section. `names` are known in every expansion, beside `here`."""

    __slots__ = ("_converted", "_logs", "environ", "ini", "names", "report", "working")

    def __init__(
        self, ini: Ini, report: Report, environ: Mapping[str, str], host_name: str, cwd: str
    ) -> None:
        self.ini = ini
        self.report = report
        self.environ = environ
        self.working = cwd
        self.names: dict[str, str | int] = {f"ENV_{name}": value for name, value in environ.items()}
        self.names["host_node_name"] = host_name
        self._converted: dict[tuple[int, str, str], Any] = {}
        self._logs: dict[LogSpec, LogSpec] = {}

    def values(self, section: str, kind: Kind, names: Names) -> dict[str, Any]:
        """The values that a section sets, without those that may differ between processes.

        Reports keys that nobody knows, values that are wrong, and those without effect yet.
        """
        found: dict[str, Any] = {}
        own = self.ini.sections[section].entries if section in self.ini.sections else {}
        for key, entry in self.ini.entries(section).items():
            option = kind.options.get(key)
            if option is None:
                if key in own:
                    hint = nearest(key, list(kind.options))
                    self.report.warn(entry.place, "unknown key, without effect", hint)
            elif not option.each:
                self.value(option, entry, names, found)
        return found

    def value(self, option: Option, entry: Entry, names: Names, found: dict[str, Any]) -> bool:
        """Put the value of an entry into `found`; False after reporting why there is none."""
        try:
            here = os.path.dirname(entry.place.file)
            text = expand(entry.value, {**names, "here": here}) if "%" in entry.value else entry.value
            value = self._convert(option, text, entry)
        except BadRequest as error:
            self.report.error(entry.place, error.message, error.hint)
            return False
        found[option.name] = value
        if option.later and value != option.default:
            self.report.warn(entry.place, "has no effect yet")
        return True

    def shared(self, log: LogSpec) -> LogSpec:
        """The one value that stands for all equal to it."""
        return self._logs.setdefault(log, log)

    def _convert(self, option: Option, text: str, entry: Entry) -> Any:
        # Equal texts give one shared value: a thousand processes of one program differ in little.
        folder = self.working if option.relative_to != "file" else os.path.dirname(entry.place.file)
        key = (id(option), text, folder)
        if key in self._converted:
            return self._converted[key]
        if option.relative_to and text and text.lower() not in option.words:
            # A log's percent signs may be doubled once more: supervisord expands its name twice.
            plain = text.replace("%%", "%") if option.convert is to_log else text
            value = option.convert(os.path.normpath(os.path.join(folder, expand_home(plain, self.environ))))
        else:
            value = option.convert(text)
        if option.convert is to_environment:
            for doubt in doubts(text):
                self.report.warn(entry.place, doubt)
        self._converted[key] = value
        return value


def expand_home(path: str, environ: Mapping[str, str]) -> str:
    """The path with a leading `~` or `~user` replaced; unchanged when there is no such home."""
    if not path.startswith("~"):
        return path
    user, slash, rest = path[1:].partition("/")
    if user:
        try:
            home = pwd.getpwnam(user).pw_dir
        except KeyError:
            return path
    else:
        home = environ.get("HOME", "")
    return home + slash + rest if home else path
