"""fleetctl run inside the test's process: arguments and a pretended terminal in, code and texts out."""

import io
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fleet_cli import main
from fleet_cli.invocation import Invocation
from fleet_cli.terminal import Terminal

NOW = 1790000100.0


class Result(NamedTuple):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Screen(NamedTuple):
    """What an invocation writes to."""

    invocation: Invocation
    out: io.TextIOWrapper
    err: io.TextIOWrapper

    def result(self, code: int) -> Result:
        return Result(code, read(self.out), read(self.err))


def read(stream: io.TextIOWrapper) -> str:
    """What was written so far."""
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def screen(
    environ: Mapping[str, str] | None = None,
    terminal: Terminal | None = None,
    answer: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> Screen:
    """An invocation whose ids count up, and whose clock stands still where only dates are told."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    numbers = itertools.count(1)
    invocation = Invocation(
        environ=environ or {},
        uid=os.geteuid(),
        user="alice",
        stdin=io.StringIO(answer),
        stdout=out,
        stderr=err,
        terminal=terminal or Terminal(),
        clock=time.monotonic,
        wall=lambda: NOW,
        sleep=sleep,
        new_id=lambda: f"id-{next(numbers)}",
    )
    return Screen(invocation, out, err)


def run(*arguments: str, **options: Any) -> Result:
    """Run one command line to its end; options as `screen`."""
    made = screen(**options)
    return made.result(main.run(list(arguments), made.invocation))
