"""What the three standard streams can do: width, colour, questions, progress."""

import os
from collections.abc import Mapping
from typing import NamedTuple, TextIO


class Terminal(NamedTuple):
    """`width` None: nobody looks, so nothing is wrapped or shortened."""

    width: int | None = None
    has_colour: bool = False
    can_ask: bool = False
    has_progress: bool = False


def look(environ: Mapping[str, str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> Terminal:
    """See what is at the other end of the streams."""
    is_dumb = environ.get("TERM") == "dumb"
    return Terminal(
        width=_width(environ, stdout) if stdout.isatty() else None,
        has_colour=stdout.isatty() and not is_dumb and not environ.get("NO_COLOR"),
        can_ask=stdin.isatty() and stderr.isatty(),
        has_progress=stderr.isatty() and not is_dumb,
    )


def _width(environ: Mapping[str, str], stdout: TextIO) -> int:
    columns = environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stdout.fileno()).columns or 80
    except OSError:
        return 80
