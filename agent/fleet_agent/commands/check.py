"""`fleet-agent check FILE [--strict]`: every problem of a configuration, one to a line."""

import os
import sys
from collections.abc import Mapping, Sequence

from fleet_agent.config.load import Loaded, load
from fleet_agent.config.problems import ERROR

USAGE = """\
usage: fleet-agent check FILE [--strict]

Reports every problem of a configuration file and of the files it includes.

  --strict   what is probably not meant (a key that nobody knows, ...) is an error too

exit codes: 0 no problem, 1 warnings, 2 errors
"""

GOOD = 0
DOUBTFUL = 1
BROKEN = 2


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Check the file that the arguments name; the exit code."""
    words = [word for word in arguments if word != "--strict"]
    if any(word in ("-h", "--help") for word in words):
        sys.stdout.write(USAGE)
        return GOOD
    if words[:1] == ["-c"]:
        words = words[1:]
    strange = [word for word in words if word.startswith("-")]
    if strange or len(words) != 1:
        reason = f"unknown option {strange[0]}" if strange else f"one FILE is needed, {len(words)} given"
        sys.stderr.write(f"fleet-agent check: {reason}\n{USAGE}")
        return BROKEN
    loaded = load(words[0], environ, host_name=os.uname().nodename, strict="--strict" in arguments)
    for problem in loaded.problems:
        sys.stdout.write(f"{problem}\n")
    sys.stdout.write(summary(words[0], loaded) + "\n")
    if loaded.config is None:
        return BROKEN
    return DOUBTFUL if loaded.problems else GOOD


def summary(path: str, loaded: Loaded) -> str:
    """The last line: how many problems, and what the file would run."""
    errors = sum(problem.severity == ERROR for problem in loaded.problems)
    counts = [_count(errors, "error"), _count(len(loaded.problems) - errors, "warning")]
    found = ", ".join(count for count in counts if not count.startswith("0 ")) or "no problems"
    if loaded.config is None:
        return f"{path}: {found}"
    processes = sum(len(group.processes) for group in loaded.config.groups)
    runs = f"{_count(processes, 'process')} in {_count(len(loaded.config.groups), 'group')}"
    return f"{path}: {found}; {runs}"


def _count(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}" if number == 1 else f"{number} {noun}{plural}"
