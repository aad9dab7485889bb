"""Whether another version of the agent can take over, and in which formats it needs the state.

The other version runs its trial beside the running agent and says what it found and what it can read
(`Report`); the running supervisor decides here (`plan`), brings the state into older formats where that is
asked for, and has the trial repeated: nothing is replaced before a trial without problems.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from fleet_agent.formats.format import Format, State, refusal
from fleet_agent.formats.table import FORMATS


class Known(NamedTuple):
    """What a version knows of one format: which versions it reads, which it writes, which are there now."""

    reads: tuple[int, ...]
    writes: int
    found: tuple[int, ...] = ()


class Report(NamedTuple):
    """The result of a trial. `keeper` is the fingerprint of that version's keeper; the `argv` tell how its
    programs are started in the place of those that run.

    `problems` forbid the change, `notes` do not; both are sentences.
    """

    version: str
    python: str
    api_level: int
    formats: Mapping[str, Known]
    keeper: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    supervisor_argv: tuple[str, ...] = ()
    keeper_argv: tuple[str, ...] = ()

    def to_state(self) -> State:
        """As the trial prints it."""
        formats = {
            name: {"reads": list(known.reads), "writes": known.writes, "found": list(known.found)}
            for name, known in self.formats.items()
        }
        return {**self._asdict(), "formats": formats}

    @classmethod
    def from_state(cls, state: Any) -> "Report":
        """The inverse of `to_state`; what later versions may add is passed over.

        Raises: ValueError, TypeError, KeyError or AttributeError for what no trial prints.
        """
        formats = {
            str(name): Known(_numbers(known["reads"]), int(known["writes"]), _numbers(known["found"]))
            for name, known in state["formats"].items()
        }
        return cls(
            version=str(state["version"]),
            python=str(state["python"]),
            api_level=int(state["api_level"]),
            formats=formats,
            keeper=str(state["keeper"]),
            supervisor_argv=_words(state["supervisor_argv"]),
            keeper_argv=_words(state["keeper_argv"]),
            problems=_words(state["problems"]),
            notes=_words(state.get("notes", ())),
        )


class Plan(NamedTuple):
    """What is to be done before that version takes over.

    `rewrite`: bring these formats into these versions, then let the trial be repeated. `refusals`: reasons
    why it must not take over; with one of them, nothing is to be rewritten.
    """

    rewrite: Mapping[str, int]
    refusals: tuple[str, ...]


def plan(report: Report, writing: Mapping[str, int], formats: Mapping[str, Format] = FORMATS) -> Plan:
    """What the version of this report needs; `formats` are those of the running one.

    `writing` tells in which versions it writes at present, where those are not the newest.
    """
    rewrite: dict[str, int] = {}
    refusals: list[str] = []
    for name, ours in formats.items():
        if not ours.is_vital:
            continue
        theirs = report.formats.get(name)
        if theirs is None:
            refusals.append(f"fleet-agent {report.version} does not know {ours.words}")
            continue
        # What is written until the change counts as well as what is there.
        unread = {*theirs.found, writing.get(name) or ours.version} - set(theirs.reads)
        if not unread:
            continue
        common = [version for version in ours.writes if version in theirs.reads]
        if common:
            rewrite[name] = common[0]
        else:
            refusals.append(refusal(ours.words, max(unread), report.version, theirs.reads))
    if not rewrite and not refusals:
        refusals.extend(report.problems)
    return Plan({} if refusals else rewrite, tuple(refusals))


def _words(values: Any) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(int(value) for value in values)
