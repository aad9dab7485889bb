"""How many hosts have answered, while one waits; only where stderr is a terminal."""

from collections.abc import Collection
from types import TracebackType
from typing import Any, TextIO

from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.terminal import Terminal
from fleet_cli.views.text import shown

_FEW = 5
"""So many hosts at most are named while they are waited for."""


class Progress:
    """A line on a terminal that vanishes at the end. Rich is imported only where it is shown."""

    def __init__(
        self, stderr: TextIO, terminal: Terminal, verb: str, targets: Collection[str], *, is_shown: bool
    ) -> None:
        self._stderr = stderr
        self._verb = verb
        self._left = dict.fromkeys(targets)
        self._is_shown = is_shown and terminal.has_progress and len(targets) > 1
        self._counts = dict.fromkeys(Bucket, 0)
        self._live: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        if self._is_shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Live

            self._live = Live(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(file=self._stderr, force_terminal=True),
                transient=True,
            )
            self._live.start()
            self._task = self._live.add_task(self._verb, total=len(self._left))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def count(self, answer: HostAnswer) -> None:
        """One more host has its bucket."""
        self._counts[answer.bucket] += 1
        self._left.pop(answer.host, None)
        if self._live is not None:
            parts = [f"{number} {bucket.words}" for bucket, number in self._counts.items() if number]
            if 0 < len(self._left) <= _FEW:
                parts.append("waiting for " + shown(" ".join(self._left)))
            self._live.update(self._task, advance=1, description=f"{self._verb}: {', '.join(parts)}")
