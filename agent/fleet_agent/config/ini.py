"""Reads the INI dialect of supervisord, and remembers where everything stood.

The dialect is that of Python's RawConfigParser with inline comments after a blank (`;` and `#`), keys
in any case, `=` or `:`, indented lines that continue a value, and a `[DEFAULT]` section; the test
compares the two. Unlike it this reader tells of all bad lines, and of values that are set twice.

Called by `config.load` and `config.include`.
"""

import os
import stat
from itertools import zip_longest
from typing import NamedTuple

from fleet_api.errors import BadRequest, NotFound

from fleet_agent.config.problems import Place, Report, shown

MAX_FILE_BYTES = 16 * 1024 * 1024

DEFAULT = "DEFAULT"

_COMMENT_MARKS = ";#"
# Sections of which a second one is more likely a slip than an override from an included file.
_NAMED_ONCE = ("program:", "group:", "eventlistener:", "fcgi-program:")


class Entry(NamedTuple):
    """A key's value as written, without comments; continued lines are joined by newlines."""

    value: str
    place: Place


class Section:
    """The keys of a section; `place` is its first header."""

    __slots__ = ("entries", "name", "place")

    def __init__(self, name: str, place: Place) -> None:
        self.name = name
        self.place = place
        self.entries: dict[str, Entry] = {}


class Ini:
    """All sections of all files read so far, in the order in which they appeared."""

    __slots__ = ("defaults", "sections")

    def __init__(self) -> None:
        self.sections: dict[str, Section] = {}
        self.defaults = Section(DEFAULT, Place(""))

    def entries(self, name: str) -> dict[str, Entry]:
        """The keys of a section together with those that `[DEFAULT]` gives it."""
        section = self.sections.get(name)
        return {**self.defaults.entries, **(section.entries if section else {})}


def read_text(path: str) -> str:
    """The text of a configuration file.

    Raises: NotFound; BadRequest for what is not a regular file, too large or not UTF-8 text.
    """
    try:
        # Without blocking: a FIFO of that name would be waited for for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NotFound("CONFIG_NOT_FOUND", f"could not find config file {path}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadRequest("CONFIG_UNREADABLE", f"could not read config file {path}: {reason}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadRequest("CONFIG_UNREADABLE", f"could not read config file {path}: not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            # Room for as much as may be would be taken at once, and the C library never quite gives it back.
            data = file.read(min(found.st_size, MAX_FILE_BYTES) + 1)
    except OSError as error:
        message = f"could not read config file {path}: {error.strerror}"
        raise BadRequest("CONFIG_UNREADABLE", message) from error
    finally:
        os.close(descriptor)
    if len(data) > MAX_FILE_BYTES:
        raise BadRequest("CONFIG_TOO_LARGE", f"config file {path} is larger than {MAX_FILE_BYTES} bytes")
    return _decode(data)


def _decode(data: bytes) -> str:
    nul = data.find(b"\0")
    if nul >= 0:
        line = data.count(b"\n", 0, nul) + 1
        raise BadRequest("CONFIG_NOT_TEXT", f"not a text file: there is a NUL byte in line {line}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8 text: byte 0x{data[error.start]:02x} in line {line}"
        raise BadRequest("CONFIG_NOT_TEXT", message, "save the file as UTF-8") from error


def parse(ini: Ini, text: str, path: str, report: Report, included: bool = False) -> None:
    """Add the sections of one file; later values replace earlier ones.

    An `[include]` in an included file is reported and passed over.
    """
    _Parser(ini, path, report, included).parse(text)


class _Parser:
    """The state of reading one file."""

    __slots__ = ("_included", "_indent", "_ini", "_key", "_parts", "_path", "_place", "_report", "_section")

    def __init__(self, ini: Ini, path: str, report: Report, included: bool) -> None:
        self._ini = ini
        self._path = path
        self._report = report
        self._included = included
        self._section: Section | None = None
        self._key: str | None = None
        self._parts: list[str] = []
        self._place = Place(path)
        self._indent = 0

    def parse(self, text: str) -> None:
        orphan_told = False
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for number, line in enumerate(lines, start=1):
            start = _comment_start(line)
            content = line[:start].strip()
            if not content:
                if start is None and self._key is not None:
                    self._parts.append("")
                continue
            indent = len(line) - len(line.lstrip())
            if self._key is not None and indent > self._indent:
                self._parts.append(content)
                continue
            self._indent = indent
            end = content.rfind("]")
            if content[0] == "[" and end > 1:
                self._open_section(content[1:end], number)
            elif self._section is None:
                if not orphan_told:
                    message = f"File contains no section headers: {shown(content)} stands before any"
                    self._report.error(
                        Place(self._path, number), message, "begin with a line such as [supervisord]"
                    )
                orphan_told = True
            else:
                self._open_key(content, number, self._section)
        self._close_key()

    def _open_section(self, name: str, number: int) -> None:
        self._close_key()
        place = Place(self._path, number, name)
        if name == DEFAULT:
            self._section = self._ini.defaults
        elif name == "include" and self._included:
            self._report.warn(place, "is passed over: an included file cannot include others")
            self._section = Section(name, place)
        elif name in self._ini.sections:
            self._section = self._ini.sections[name]
            if name.startswith(_NAMED_ONCE):
                first = self._section.place
                self._report.warn(place, f"appears also at {first.file}:{first.line}; the two are merged")
        else:
            self._section = self._ini.sections[name] = Section(name, place)

    def _open_key(self, content: str, number: int, section: Section) -> None:
        end = min((at for at in (content.find("="), content.find(":")) if at >= 0), default=0)
        if not end:
            message = (
                f"neither a section header, nor a key with a value, nor a continued line: {shown(content)}"
            )
            hint = "a key is separated from its value by =, a continued line is indented"
            self._report.error(Place(self._path, number, section.name), message, hint)
            return
        self._close_key()
        self._key = content[:end].rstrip().lower()
        self._parts = [content[end + 1 :].strip()]
        self._place = Place(self._path, number, section.name, self._key)

    def _close_key(self) -> None:
        if self._key is None or self._section is None:
            return
        before = self._section.entries.get(self._key)
        if before is not None:
            at = before.place
            self._report.warn(self._place, f"is set again; the value at {at.file}:{at.line} is not used")
        self._section.entries[self._key] = Entry("\n".join(self._parts).rstrip(), self._place)
        self._key = None


def _comment_start(line: str) -> int | None:
    """Where the comment of a line begins; None when there is none."""
    stripped = line.lstrip()
    if stripped and stripped[0] in _COMMENT_MARKS:
        return 0
    if not any(mark in line for mark in _COMMENT_MARKS):
        return None
    # Subtle: RawConfigParser looks at the first of each mark, then at the second of each, and stops at
    # the first round with a comment in it; so in "a;b ;c #d" only "#d" is one. Files rely on what it does.
    places = ([at for at, letter in enumerate(line) if letter == mark] for mark in _COMMENT_MARKS)
    for around in zip_longest(*places):
        starts = [at for at in around if at is not None and line[at - 1].isspace()]
        if starts:
            return min(starts)
    return None
