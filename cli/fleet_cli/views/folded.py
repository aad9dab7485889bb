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
from fleet_cli.views.reasons import SHORT
from fleet_cli.views.text import STATE_COLOURS, columns, pad, paint, shown, wrap_hosts, wrap_words

_LONGEST_NAME = 32
_FEWEST_COLUMNS = 24
_MOST_TROUBLE_LINES = 12
_ANSWERED = frozenset({Bucket.OK, Bucket.FAILED, Bucket.REFUSED})
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
    table = sorted((bucket, hosts_text(hosts), why) for bucket, hosts, why in _troubles(answers, now))
    state_width = max([0, *(len(bucket) for bucket, _, _ in table)])
    hosts_width = _widest((hosts for _, hosts, _ in table), width)
    indent = state_width + 2
    result = []
    for bucket, hosts, why in table:
        cell = paint(pad(bucket, state_width), STATE_COLOURS.get(bucket, ""), has_colour)
        if columns(hosts) <= hosts_width:
            place = indent + hosts_width + 2
            first, *more = wrap_words(shown(why), _room(width, place))
            result.append(f"{cell}  {pad(hosts, hosts_width)}  {first}".rstrip())
        else:
            place = indent + 2
            first, *others = wrap_hosts(hosts, _room(width, indent), _MOST_TROUBLE_LINES)
            result += [f"{cell}  {first}", *(" " * indent + text for text in others)]
            more = wrap_words(shown(why), _room(width, place))
        result += [" " * place + text for text in more]
    return "\n".join(result)


def hints(answers: Iterable[HostAnswer]) -> list[str]:
    """Each cure once, with the hosts that need it."""
    cures: dict[str, list[str]] = defaultdict(list)
    for answer in answers:
        for error in [answer.error, *answer.errors]:
            if error is not None and error["hint"]:
                cures[error["hint"]].append(answer.host)
    return [f"hint ({short_hosts(dict.fromkeys(hosts))}): {shown(cure)}" for cure, hosts in cures.items()]


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


def _troubles(answers: Sequence[HostAnswer], now: float) -> Iterable[tuple[str, list[str], str]]:
    """What is wrong, with the hosts that have it in common: bucket, hosts, reason."""
    silent: dict[tuple[str, str], list[HostAnswer]] = defaultdict(list)
    told: dict[tuple[str, str], list[str]] = defaultdict(list)
    for answer in answers:
        bucket = answer.bucket.words.upper()
        if answer.error is not None:
            code, message = answer.error["code"], answer.error["message"]
            silent[bucket, code if code in SHORT else message].append(answer)
        elif answer.bucket not in _ANSWERED:
            silent[bucket, ""].append(answer)
        elif answer.reachability is not None and answer.reachability.state == "late":
            age = since(answer.reachability, now)
            told["LATE", f"shown as of {'long ago' if age is None else age_text(age)}"].append(answer.host)
        for error in answer.errors:
            told["FAILED", error["message"]].append(answer.host)
        if answer.is_behind:
            told["LATE", "may be shown as before your last change"].append(answer.host)
    for (bucket, code), alike in silent.items():
        messages = {answer.error["message"] for answer in alike if answer.error is not None}
        why = SHORT[code] if len(messages) > 1 else next(iter(messages), "no reason given")
        away = [answer.reachability for answer in alike if answer.bucket not in _ANSWERED]
        seen = seen_text((reach for reach in away if reach is not None and reach.state != "connected"), now)
        yield bucket, [answer.host for answer in alike], f"{why} {seen}".rstrip()
    for (bucket, why), hosts in told.items():
        yield bucket, hosts, why


def _render(table: Sequence[_Line], width: int | None, has_colour: bool) -> str:
    name_width = _widest((shown(line.name) for line in table), width)
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


def _widest(texts: Iterable[str], width: int | None) -> int:
    """Columns for the longest of the texts; on a terminal, long ones get lines of their own instead."""
    widest = max([0, *map(columns, texts)])
    return widest if width is None else min(widest, max(_LONGEST_NAME, width // 3))


def _room(width: int | None, indent: int) -> int | None:
    return None if width is None else max(_FEWEST_COLUMNS, width - indent)


def _state_order(state: str) -> tuple[int, str]:
    return (_FIRST.index(state) if state in _FIRST else len(_FIRST), state)


def _join(*blocks: str) -> str:
    return "\n\n".join(block for block in blocks if block)
