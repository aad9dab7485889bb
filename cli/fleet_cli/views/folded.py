"""Many hosts in few lines: equal answers are told once, with the hosts that gave them.

Pure: answers, width and time in, text out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from fleet_api.errors import BadRequest
from fleet_api.hostset import fold
from fleet_api.rows import display_name

from fleet_cli.answers import Bucket, Change, HostAnswer
from fleet_cli.views import lines
from fleet_cli.views.ages import age_text, seen_text, since
from fleet_cli.views.text import STATE_COLOURS, columns, pad, paint, shown, wrap_hosts, wrap_words

_LONGEST_NAME = 32
_FEWEST_COLUMNS = 24
_EXPLAINED_STATES = frozenset({"FATAL", "BACKOFF"})
_FIRST = ["RUNNING", "STARTING", "BACKOFF", "STOPPING", "STOPPED", "EXITED", "FATAL", "UNKNOWN"]


class _Line(NamedTuple):
    name: str
    state: str
    share: str
    hosts: str
    why: str


def status(answers: Sequence[HostAnswer], width: int | None, has_colour: bool, now: float) -> str:
    """One block per program, one line per state in it; then every host without an answer, with its reason.

    The count is of the hosts that are known to have the program. What a silent host said before is no
    state: it counts under the name of its bucket.
    """
    states: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    reasons: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for answer in answers:
        is_current = answer.bucket in {Bucket.OK, Bucket.FAILED}
        for row in answer.rows:
            state = row["state"] if is_current else answer.bucket.words.upper()
            states[row["group"], row["name"]][state].append(answer.host)
            if state in _EXPLAINED_STATES:
                reasons[row["group"], row["name"], state].add(row["description"])
    table = []
    for (group, name), by_state in sorted(states.items()):
        total = sum(len(hosts) for hosts in by_state.values())
        shown_name = display_name(group, name)
        for state in sorted(by_state, key=_state_order):
            hosts = by_state[state]
            found = reasons[group, name, state]
            why = next(iter(found)) if len(found) == 1 else ""
            table.append(_Line(shown_name, state, f"{len(hosts)}/{total}", hosts_text(hosts), why))
            shown_name = ""
    return _join(_render(table, width, has_colour), trouble(answers, width, has_colour, now))


def change(
    change: Change, answers: Sequence[HostAnswer], width: int | None, has_colour: bool, now: float
) -> str:
    """One line per program and outcome, in few lines as `status`."""
    outcomes: dict[tuple[str, str], dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for answer in answers:
        for row in answer.outcomes:
            if lines.is_listed(row, change.terms):
                text = lines.outcome(change.verb, row, wait=change.wait)
                outcomes[row["group"], row["name"]][text, lines.explanation(row)].append(answer.host)
    table = []
    for (group, name), by_text in sorted(outcomes.items()):
        total = sum(len(hosts) for hosts in by_text.values())
        shown_name = display_name(group, name)
        for (text, why), hosts in sorted(by_text.items(), key=lambda item: (-len(item[1]), item[0])):
            table.append(_Line(shown_name, text, f"{len(hosts)}/{total}", hosts_text(hosts), why))
            shown_name = ""
    return _join(_render(table, width, has_colour), trouble(answers, width, has_colour, now))


def trouble(answers: Sequence[HostAnswer], width: int | None, has_colour: bool, now: float) -> str:
    """Every host that did not answer, or not in full, with the true reason and when it was last seen."""
    equal: dict[tuple[str, str], list[str]] = defaultdict(list)
    for answer in answers:
        reachability = answer.reachability
        if answer.error is not None:
            seen = "" if answer.bucket in {Bucket.FAILED, Bucket.REFUSED} else seen_text(reachability, now)
            equal[answer.bucket.words.upper(), f"{answer.error['message']} {seen}".rstrip()].append(
                answer.host
            )
        elif answer.bucket not in {Bucket.OK, Bucket.FAILED, Bucket.REFUSED}:
            equal[answer.bucket.words.upper(), seen_text(reachability, now) or "no reason given"].append(
                answer.host
            )
        elif reachability is not None and reachability.state == "late":
            age = since(reachability, now)
            equal["LATE", f"shown as of {'long ago' if age is None else age_text(age)}"].append(answer.host)
        for error in answer.errors:
            equal["FAILED", error["message"]].append(answer.host)
        if answer.is_behind:
            equal["LATE", "may be shown as before your last change"].append(answer.host)
    table = [(hosts_text(hosts), bucket, why) for (bucket, why), hosts in equal.items()]
    table.sort(key=lambda line: (line[1], line[0]))
    name_width = max([0, *(min(columns(hosts), _LONGEST_NAME) for hosts, _, _ in table)])
    state_width = max([0, *(len(bucket) for _, bucket, _ in table)])
    indent = name_width + 2 + state_width + 2
    result = []
    for hosts, bucket, why in table:
        cell = paint(pad(bucket, state_width), STATE_COLOURS.get(bucket, ""), has_colour)
        texts = wrap_words(shown(why), _room(width, indent))
        if columns(hosts) <= name_width:
            result.append(f"{pad(hosts, name_width)}  {cell}  {texts[0]}".rstrip())
        else:
            result += wrap_hosts(hosts, width)
            result.append(f"{' ' * name_width}  {cell}  {texts[0]}".rstrip())
        result += [" " * indent + text for text in texts[1:]]
    return "\n".join(result)


def hints(answers: Iterable[HostAnswer]) -> list[str]:
    """Each cure once, with the hosts that need it."""
    cures: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        for error in [answer.error, *answer.errors]:
            if error is not None and error["hint"]:
                cures[error["hint"]].append(answer.host)
    return [f"hint ({hosts_text(dict.fromkeys(hosts))}): {shown(cure)}" for cure, hosts in cures.items()]


def hosts_text(names: Iterable[str]) -> str:
    """The folded names; names that no expression can mean are listed as they are."""
    known = list(names)
    try:
        return fold(known)
    except BadRequest:
        return ",".join(shown(name) for name in sorted(known))


def short_hosts(names: Iterable[str], width: int = 60) -> str:
    """A folded host set for the middle of a sentence."""
    pieces = wrap_hosts(hosts_text(names), width, 1)
    return " ".join(pieces).removesuffix(", all with -o wide")


def _render(table: Sequence[_Line], width: int | None, has_colour: bool) -> str:
    name_width = max([0, *(min(columns(shown(line.name)), _LONGEST_NAME) for line in table)])
    state_width = max([0, *(columns(shown(line.state)) for line in table)])
    count_width = max([0, *(len(line.share) for line in table)])
    indent = name_width + 2 + state_width + 2 + count_width + 2
    result = []
    for line in table:
        name, state = shown(line.name), shown(line.state)
        if columns(name) > name_width:
            result.append(name)
            name = ""
        colour = STATE_COLOURS.get(state, "red" if state.startswith("ERROR") else "")
        cell = paint(pad(state, state_width), colour, has_colour)
        hosts = wrap_hosts(line.hosts, _room(width, indent))
        result.append(
            f"{pad(name, name_width)}  {cell}  {pad(line.share, count_width, right=True)}  {hosts[0]}"
        )
        result += [" " * indent + text for text in hosts[1:]]
        if line.why:
            start = name_width + 4
            result += [" " * start + text for text in wrap_words(shown(line.why), _room(width, start))]
    return "\n".join(result)


def _room(width: int | None, indent: int) -> int | None:
    return None if width is None else max(_FEWEST_COLUMNS, width - indent)


def _state_order(state: str) -> tuple[int, str]:
    return (_FIRST.index(state) if state in _FIRST else len(_FIRST), state)


def _join(*blocks: str) -> str:
    return "\n".join(block for block in blocks if block)
