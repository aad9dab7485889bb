"""What must be true after a round of chaos, whatever happened: pure judgement over facts.

The facts are the programs' own records, the logs as text, the agent's events and rows, and what the test
itself did. Each function gives sentences about what is wrong; nothing means that all is well.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from chaos.records import Record

SLACK_SECONDS = 0.6
"""How far a program's last note may lie from its end, or a kill from its effect, on a busy machine."""
OUTSTANDING = frozenset({"STARTING", "RUNNING", "STOPPING", "UNKNOWN"})
DOWN = frozenset({"STOPPED", "EXITED", "FATAL"})
SIGKILL = 9


class Gap(NamedTuple):
    """A time without a keeper, on the monotonic clock; `end` when the next one had taken over."""

    begin: float
    end: float


class Deeds(NamedTuple):
    """What the test did: times without a keeper, when it killed which pid, and stops or restarts by process
    as (asked, answered)."""

    gaps: Sequence[Gap] = ()
    killed: Mapping[int, float] = {}
    stops: Mapping[str, Sequence[tuple[float, float]]] = {}

    def was_keeperless(self, record: Record) -> bool:
        """Whether this run may have ended while no keeper lived, or been told to nobody who lived on."""
        if record.is_alive:
            return False
        earliest, latest = record.last, record.gone_by
        if record.is_own_end:
            latest = earliest + SLACK_SECONDS
        elif record.pid in self.killed:
            earliest = self.killed[record.pid]
            latest = earliest + SLACK_SECONDS
        return any(earliest <= gap.end and latest >= gap.begin - SLACK_SECONDS for gap in self.gaps)

    def had_stop(self, record: Record) -> bool:
        """Whether an operator asked this run to end."""
        return any(
            asked <= record.gone_by and answered >= record.first
            for asked, answered in self.stops.get(record.process, ())
        )


def copies(records: Iterable[Record]) -> list[str]:
    """Two runs of a process at the same time."""
    problems = []
    by_process = defaultdict(list)
    for record in records:
        if not record.is_helper:
            by_process[record.process].append(record)
    for runs in by_process.values():
        runs.sort(key=lambda record: record.first)
        for earlier, later in itertools.pairwise(runs):
            if earlier.is_alive or earlier.last > later.first:
                problems.append(f"two copies: {earlier}; {later}")
    return problems


def harm(records: Iterable[Record], deeds: Deeds) -> list[str]:
    """Runs that could not write, were told to end by nobody, or ended without a reason."""
    problems = []
    for record in records:
        if record.failed:
            problems.append(f"could not write (errno {record.failed}): {record}")
        if record.is_helper:
            continue
        if record.terms and not deeds.had_stop(record):
            problems.append(f"SIGTERM that nobody asked for: {record}")
        is_explained = record.is_alive or record.is_own_end or record.pid in deeds.killed
        if not is_explained and not deeds.had_stop(record):
            problems.append(f"ended without a reason: {record}")
    return problems


def lines(
    process: str, log: str, stream: int, records: Iterable[Record], deeds: Deeds, is_final: bool
) -> list[str]:
    """Lines of a stream that are missing, doubled, torn or out of order in the log of a process.

    The records are older than the log. Of a run that ended while nobody held its FIFOs, the kernel dropped
    what was unread: its lines may stop early. Those of a living one may still be on their way; ask again.
    """
    problems = []
    seen: dict[tuple[str, int], int] = defaultdict(int)
    whole, _, torn = log.rpartition("\n")
    if torn and is_final:
        problems.append(f"{process}: the last line is torn: {torn!r}")
    for text in whole.split("\n") if whole else ():
        words = text.split(" ")
        try:
            name, (number, of_stream, line) = words[0], map(int, words[1:])
        except ValueError:
            problems.append(f"{process}: a torn line: {text!r}")
            continue
        if of_stream != stream:
            continue
        expected = seen[name, number]
        if line != expected:
            problems.append(f"{process}: line {line} of {name}#{number} where {expected} is due")
        seen[name, number] = line + 1
    for record in records:
        if record.process.rstrip("+") != process:
            continue
        written, there = record.lines(stream), seen.pop((record.process, record.number), 0)
        is_too_much = there > written + 1 and not record.is_alive
        if is_too_much or (there < written and not deeds.was_keeperless(record)):
            problems.append(f"{process}: {there} lines of stream {stream}, {written} were printed: {record}")
    if is_final:
        problems += [f"{process}: lines of no run: {key}" for key in seen]
    return problems


def exits(
    records: Iterable[Record], events: Sequence[Mapping[str, Any]], deeds: Deeds, is_final: bool
) -> list[str]:
    """Ends that were not told exactly once and as they were. `is_final`: none is still to be told."""
    problems = []
    runs: dict[tuple[str, int], int] = {}
    ends: dict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    # Runs that had ended when a stop began, for the sake of their descendants.
    survived = set()
    for event in events:
        row = event["process"]
        run = row["name"], row["run"]
        if row["pid"]:
            runs[row["name"], row["pid"]] = row["run"]
        if event["old_state"] not in OUTSTANDING and row["state"] == "STOPPING":
            survived.add(run)
        elif event["old_state"] in OUTSTANDING and row["state"] in ("EXITED", "BACKOFF", "STOPPED"):
            if run in survived:
                survived.discard(run)
            else:
                ends[run].append(event)
    for (process, number), told in ends.items():
        if len(told) > 1:
            problems.append(f"{process}: the end of run {number} was told {len(told)} times")
    for record in records:
        if record.is_helper or record.is_alive:
            continue
        known_run = runs.get((record.process, record.pid))
        is_excused = deeds.was_keeperless(record)
        if known_run is None:
            if is_final and not is_excused:
                problems.append(f"nobody was told of {record}")
            continue
        told = ends[record.process, known_run]
        if told:
            problems += _wrong_exit(record, told[0]["process"]["exit"], is_excused)
        elif is_final:
            problems.append(f"no end was told of {record}")
    return problems


def _wrong_exit(record: Record, told: Mapping[str, Any] | None, is_excused: bool) -> list[str]:
    code, signal = (told["code"], told["signal"]) if told else (None, None)
    if (code, signal) == (None, None):
        return [] if is_excused else [f"an end is told as unknown: {record}"]
    meant = (record.code, record.signal)
    # Whoever was killed may have been on its way out.
    if (code, signal) in (meant, (None, SIGKILL)):
        return []
    return [f"told as code {code}, signal {signal}: {record}"]


def agreement(rows: Iterable[Mapping[str, Any]], records: Sequence[Record]) -> list[str]:
    """Where rows and kernel differ; what is under way just now settles, so ask again."""
    problems = []
    for row in rows:
        name = row["name"]
        living = [record for record in records if record.process == name and record.is_alive]
        pids = [record.pid for record in living]
        if row["pid"] and pids != [row["pid"]]:
            problems.append(f"{name} is {row['state']} with pid {row['pid']}, alive are {pids}")
        elif not row["pid"] and pids:
            problems.append(f"{name} is {row['state']} without a pid, alive are {pids}")
        elif row["state"] in ("STARTING", "STOPPING", "UNKNOWN") or (
            row["state"] == "RUNNING" and not row["pid"]
        ):
            problems.append(f"{name} is still {row['state']}")
    return problems


def wishes(rows: Iterable[Mapping[str, Any]], stopped: Iterable[str], kept_up: Iterable[str]) -> list[str]:
    """Processes that an operator stopped and that are up, and those that ought to be up again by now."""
    by_name = {row["name"]: row for row in rows}
    problems = [
        f"{name} was stopped and is {by_name[name]['state']}"
        for name in stopped
        if by_name[name]["state"] not in DOWN
    ]
    problems += [
        f"{name} is not up but {by_name[name]['state']} ({by_name[name]['reason']})"
        for name in kept_up
        if by_name[name]["state"] not in ("RUNNING", "FATAL")
    ]
    return problems
