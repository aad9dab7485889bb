"""Tables: one host's processes in supervisorctl's columns, and one line per process and host."""

from collections.abc import Iterable, Sequence

from fleet_api.rows import ProcessRow, display_name

from fleet_cli.answers import Bucket, Change, HostAnswer, HostRecord
from fleet_cli.views import lines
from fleet_cli.views.ages import age_text, since
from fleet_cli.views.text import STATE_COLOURS, columns, pad, paint, shown

_GAP = 3
_NAME_WIDTH = 30
_STATE_WIDTH = 10


def sort_key(row: ProcessRow) -> tuple[str, str]:
    """The order of every listing: by group, then by process."""
    return (row["group"], row["name"])


def status(rows: Iterable[ProcessRow], has_colour: bool) -> str:
    """supervisorctl's columns: name padded to max(30, longest) + 3, state to 10, description."""
    ordered = sorted(rows, key=sort_key)
    names = [shown(display_name(row["group"], row["name"])) for row in ordered]
    width = max([_NAME_WIDTH, *(columns(name) for name in names)]) + _GAP
    result = []
    for name, row in zip(names, ordered, strict=True):
        state = shown(row["state"])
        cell = paint(pad(state, _STATE_WIDTH), STATE_COLOURS.get(state, ""), has_colour)
        result.append(f"{pad(name, width)}{cell}{shown(row['description'])}".rstrip())
    return "\n".join(result)


def wide_status(answers: Sequence[HostAnswer], has_colour: bool, now: float) -> str:
    """One line per process and host; a host that gave no process has a line of its own."""
    table = [("HOST", "PROCESS", "STATE", "RUN", "AS OF", "DESCRIPTION")]
    for answer in sorted(answers, key=lambda answer: answer.host):
        age = since(answer.reachability, now)
        is_answered = answer.reachability is None and answer.error is None
        as_of = "now" if is_answered else "-" if age is None else age_text(age)
        for row in sorted(answer.rows, key=sort_key):
            is_fresh = answer.bucket in {Bucket.OK, Bucket.FAILED}
            state = row["state"] if is_fresh else answer.bucket.words.upper()
            was = row["description"] if row["state"] == "UNKNOWN" else f"was {row['state']}"
            description = row["description"] if is_fresh else was
            name = display_name(row["group"], row["name"])
            table.append((answer.host, name, state, str(row["run"]), as_of, description))
        if answer.bucket is not Bucket.OK and (answer.error or not answer.rows):
            why = answer.error["message"] if answer.error else ""
            seen = "never" if age is None and answer.reachability else as_of
            table.append((answer.host or "-", "-", answer.bucket.words.upper(), "-", seen, why))
        table += [(answer.host, "-", "FAILED", "-", as_of, error["message"]) for error in answer.errors]
    return grid(table, 2, has_colour)


def wide_change(change: Change, answers: Sequence[HostAnswer], has_colour: bool) -> str:
    """One line per process and host with what became of it."""
    table = [("HOST", "PROCESS", "RESULT", "OUTCOME")]
    for answer in sorted(answers, key=lambda answer: answer.host):
        for row in answer.outcomes:
            text = lines.outcome(change.verb, row, wait=change.wait)
            why = lines.explanation(row)
            name = display_name(row["group"], row["name"])
            table.append((answer.host, name, row["result"].upper(), f"{text}: {why}" if why else text))
        table += [(answer.host, "-", "FAILED", error["message"]) for error in answer.errors]
        if answer.error or (answer.bucket is not Bucket.OK and not answer.outcomes and not answer.errors):
            why = answer.error["message"] if answer.error else ""
            table.append((answer.host or "-", "-", answer.bucket.words.upper(), why))
    return grid(table, 2, has_colour)


def hosts(records: Sequence[HostRecord], has_colour: bool, now: float, *, has_labels: bool = False) -> str:
    """The inventory; why a host cannot be reached stands at the end of its line."""
    labels = ["LABELS"] if has_labels else []
    table = [["HOST", "ADDRESS", "STATE", "SEEN", "VERSION", "GROUPS", *labels, "WHY"]]
    for record in records:
        age = since(record.reachability, now)
        words = ",".join(f"{key}={value}" for key, value in sorted(record.labels.items()))
        table.append(
            [
                record.name,
                record.address,
                record.reachability.state,
                "never" if age is None else age_text(age),
                record.agent_version or "-",
                ",".join(record.groups) or "-",
                *([words or "-"] if has_labels else []),
                record.error["message"] if record.error else "",
            ]
        )
    return grid(table, 2, has_colour)


def grid(table: Sequence[Sequence[str]], coloured_column: int, has_colour: bool) -> str:
    """Left-aligned columns as wide as their longest cell; the first line is the head."""
    cells = [[shown(cell) for cell in line] for line in table]
    widths = [max(columns(line[number]) for line in cells) for number in range(len(cells[0]))]
    result = []
    for line_number, line in enumerate(cells):
        padded = [pad(cell, width) for cell, width in zip(line, widths, strict=True)]
        if line_number:
            colour = STATE_COLOURS.get(line[coloured_column], "")
            padded[coloured_column] = paint(padded[coloured_column], colour, has_colour)
        result.append("  ".join(padded).rstrip())
    return "\n".join(result)
