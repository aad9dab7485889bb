"""One line on standard error for each event: `2026-01-31T12:00:00+0000 INFO message key=value`.

Called by every room of the shell. The message is constant, details are fields; nothing secret is ever
a field.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import TextIO

INFO = "INFO"
WARNING = "WARNING"
ERROR = "ERROR"


class Log:
    """Writes lines; a log that cannot be written harms nobody."""

    def __init__(self, file: TextIO | None = None, wall: Callable[[], float] = time.time) -> None:
        self._file = file if file is not None else sys.stderr
        self._wall = wall

    def info(self, message: str, **fields: object) -> None:
        """Something happened as it should."""
        self._write(INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        """Something an operator may want to look at."""
        self._write(WARNING, message, fields)

    def error(self, message: str, **fields: object) -> None:
        """Something the controller could not do."""
        self._write(ERROR, message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(self._wall()))
        words = [moment, level, message, *(f"{key}={_shown(value)}" for key, value in fields.items())]
        try:
            self._file.write(" ".join(words) + "\n")
            self._file.flush()
        except (OSError, ValueError):
            return


def _shown(value: object) -> str:
    text = str(value)
    is_plain = text and text.isascii() and text.isprintable() and not set(text) & set(" \"'=\\")
    return text if is_plain else json.dumps(text)
