"""Processes with their descendants: a line of status, and below it what the kernel runs for it."""

from collections.abc import Iterable, Iterator, Sequence

from fleet_api.rows import ProcessRow, TreeRow

from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.views import table
from fleet_cli.views.text import paint, shown

_HEAD = f"{'PID':>10} {'CPU':>10} {'MEMORY':>8}  COMMAND"
_MEGABYTE = 1024 * 1024
_MAX_DEPTH = 20
"""Deeper ones stand no further to the right."""


def status(answers: Sequence[HostAnswer], has_colour: bool, *, is_local: bool) -> str:
    """Each host's processes as trees; hosts are named where they were asked for."""
    lines = [paint(_HEAD, "dim", has_colour)] if any(answer.rows for answer in answers) else []
    for answer in answers:
        if not is_local:
            lines.append(paint(f"{shown(answer.host)}:{_why(answer)}", "bold", has_colour))
        lines += [paint(f"    {shown(error['message'])}", "red", has_colour) for error in answer.errors]
        heads = table.status(answer.rows, has_colour).splitlines()
        for head, row in zip(heads, sorted(answer.rows, key=table.sort_key), strict=True):
            lines += [head, *_members(row)]
    return "\n".join(lines)


def _why(answer: HostAnswer) -> str:
    if answer.error is None or answer.bucket is Bucket.OK:
        return ""
    return f" {answer.bucket.words}: {shown(answer.error['message'])}"


def _members(row: ProcessRow) -> Iterator[str]:
    members = row.get("tree")
    if members is None:
        if row["pid"]:
            yield f"{'':10} nothing is told of it: it has just ended, or its agent is of an older version"
        return
    yield from _lines(members)
    more = row.get("tree_size", 0) - len(members)
    if more > 0:
        yield f"{'':10} ... {more} more"


def _lines(members: Iterable[TreeRow]) -> Iterator[str]:
    for member in members:
        indent = "  " * min(member["depth"], _MAX_DEPTH)
        cpu = f"{member['cpu_seconds']:.2f}s"
        memory = f"{member['memory_bytes'] / _MEGABYTE:.1f}M"
        yield f"{member['pid']:>10} {cpu:>10} {memory:>8}  {indent}{shown(member['command'])}"
