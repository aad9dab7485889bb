"""What is wrong with a configuration, and where: collected by the loader, printed by `fleet-agent check`."""

from typing import NamedTuple

ERROR = "error"
WARNING = "warning"

MAX_PROBLEMS = 1000
"""More are counted, not kept: a file of garbage has a problem in each line."""

_MAX_SHOWN = 200


class Place(NamedTuple):
    """Where in the files something stands; `line` counts from 1, 0 is the file as a whole."""

    file: str
    line: int = 0
    section: str = ""
    key: str = ""


class Problem(NamedTuple):
    """One thing that is wrong, and what to do about it."""

    severity: str
    file: str
    line: int
    section: str
    key: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """`FILE:LINE: warning: [section] key: message (hint)`, always one line."""
        parts = [f"{self.file}:{self.line}:" if self.line else f"{self.file}:", f"{self.severity}:"]
        if self.section:
            parts.append(f"[{self.section}]" if self.key else f"[{self.section}]:")
        if self.key:
            parts.append(f"{self.key}:")
        parts.append(self.message)
        if self.hint:
            parts.append(f"({self.hint})")
        return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in " ".join(parts))


def shown(text: str) -> str:
    """A value as messages show it: quoted, and cut when it is long."""
    return repr(text) if len(text) <= _MAX_SHOWN else repr(text[:_MAX_SHOWN]) + "…"


def nearest(name: str, known: list[str]) -> str:
    """A hint that names the known name most like this one; empty when none is like it."""
    import difflib  # noqa: PLC0415  only a misspelt file pays for it

    names = {other.casefold(): other for other in known}
    found = difflib.get_close_matches(name[:_MAX_SHOWN].casefold(), list(names), n=1)
    return f'did you mean "{names[found[0]]}"?' if found else ""


class Report:
    """Collects problems, each once, up to a bound."""

    __slots__ = ("_seen", "dropped", "has_errors", "problems", "strict")

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self.problems: list[Problem] = []
        self.has_errors = False
        self.dropped = 0
        self._seen: set[Problem] = set()

    def error(self, place: Place, message: str, hint: str = "") -> None:
        """Something that makes the file unusable."""
        self._add(ERROR, place, message, hint)

    def warn(self, place: Place, message: str, hint: str = "") -> None:
        """Something that is probably not meant; an error when the report is strict."""
        self._add(ERROR if self.strict else WARNING, place, message, hint)

    def _add(self, severity: str, place: Place, message: str, hint: str) -> None:
        problem = Problem(severity, *place, message, hint)
        if severity == ERROR:
            self.has_errors = True
        if problem in self._seen:
            return
        if len(self.problems) >= MAX_PROBLEMS:
            self.dropped += 1
            return
        self._seen.add(problem)
        self.problems.append(problem)

    def result(self, path: str) -> tuple[Problem, ...]:
        """All problems: those of the file `path` first, then by file and line."""
        ordered = sorted(
            self.problems, key=lambda problem: (problem.file != path, problem.file, problem.line)
        )
        if self.dropped:
            severity = ERROR if self.has_errors else WARNING
            ordered.append(Problem(severity, path, 0, "", "", f"{self.dropped} more problems are not listed"))
        return tuple(ordered)
