"""What operators have stopped or disabled: `desires.json` in the state folder, read at every start.

Written whole, and on the disk before a verb is acted on; called by `operations`. One line a process, so that
what is whole of a damaged file still counts:

    {"version":1,"desires":{
    "web:web":{"kind":"disabled","actor":"alice","reason":"power work","at":1790000000.1,"operation":"…"}
    }}

What cannot be read is set aside and told, and its processes start: a host that comes up without its
programs harms more than a program that somebody must stop again.
"""

import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping

from fleet_agent.core.desires import Desire
from fleet_agent.formats.format import DAMAGE, State, UnknownVersion
from fleet_agent.formats.table import DESIRES
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.troubles import Report
from fleet_agent.supervisor.whole_file import read_ours, set_aside, write_whole

MAX_DESIRES = 10_000
MAX_BYTES = 32 * 1024 * 1024

Wishes = Mapping[str, Desire]
Decide = Callable[[Wishes], dict[str, Desire | None]]
"""Which wishes change, given those that hold; None takes one away."""

Done = Callable[[str], None]
"""Called with why it could not be written down, or nothing."""

Aside = Callable[[Callable[[], None], Callable[[OSError | None], None]], None]
"""Runs what may wait for a disk, and then has the loop call the second with its error or None."""

PATIENCE_SECONDS = 2.0
"""So long a verb waits for the disk: a stop that an operator needs now is not held up by a stalled one."""


class Desires:
    """Owns the file of wishes; changes are made one after the other."""

    def __init__(
        self,
        path: str,
        loop: Loop,
        aside: Aside,
        is_configured: Callable[[str], bool],
        report: Callable[[str], None],
        trouble: Report,
    ) -> None:
        self._path = path
        self._loop = loop
        self._aside = aside
        self._is_configured = is_configured
        self._trouble = trouble
        self._wishes, is_whole, self.version = read(path, report)
        self._on_disk: Wishes | None = self._wishes if is_whole else None
        self._waiting: deque[tuple[Decide, bool, Done]] = deque()
        self._is_stalled = False
        self._is_in_trouble = False
        if not is_whole:
            self._keep_again()

    def get(self, id_: str) -> Desire | None:
        """What operators want of this process for good."""
        return self._wishes.get(id_)

    def change(self, decide: Decide, is_forced: bool, done: Done) -> None:
        """Change wishes and write them down; `done` at once when nothing changes.

        `is_forced`: they hold from now on, also when they cannot be written.
        """
        self._waiting.append((decide, is_forced, done))
        if len(self._waiting) == 1:
            self._next()

    def write_as(self, version: int) -> None:
        """Go on in this format, and bring the file into it: a supervisor is to come that reads no newer."""
        self.version = version
        self._on_disk = None
        self._keep_again()

    def _next(self) -> None:
        while self._waiting:
            decide, is_forced, _ = self._waiting[0]
            after = self._after(decide(self._wishes))
            if after == self._wishes == self._on_disk:
                problem = ""
            elif self._is_stalled:
                problem = self._in_words("the disk does not answer")
            else:
                self._write(after, is_forced)
                return
            self._settle(after, is_forced, problem)

    def _write(self, after: dict[str, Desire], is_forced: bool) -> None:
        def late() -> None:
            self._is_stalled = True
            words = self._in_words(f"the disk has not answered for {PATIENCE_SECONDS:g} s")
            self._settle(after, is_forced, words)
            self._next()

        def written(error: OSError | None) -> None:
            alarm.cancel()
            self._on_disk = after if error is None else None
            if self._is_stalled:
                self._is_stalled = False
                self._keep_again()
                return
            self._settle(after, is_forced, self._in_words(error.strerror or str(error)) if error else "")
            self._next()

        alarm = self._loop.after(PATIENCE_SECONDS, late)
        text = to_text(after, self.version)
        self._aside(lambda: write_whole(self._path, text, is_lasting=True), written)

    def _settle(self, after: dict[str, Desire], is_forced: bool, problem: str) -> None:
        """Let the first that waits have its answer."""
        if is_forced or not problem:
            self._wishes = after
        if problem:
            self._trouble(
                f"are not kept: {problem}; what is stopped or disabled now may come back with the agent"
            )
        elif self._is_in_trouble:
            self._trouble("")
        self._is_in_trouble = bool(problem)
        self._waiting[0][2](problem)
        self._waiting.popleft()

    def _keep_again(self) -> None:
        """Bring the file up to what holds."""
        self.change(lambda wishes: {}, True, lambda problem: None)

    def _in_words(self, problem: str) -> str:
        return f"{self._path}: {problem}"

    def _after(self, changes: Mapping[str, Desire | None]) -> dict[str, Desire]:
        after = dict(self._wishes)
        for id_, desire in changes.items():
            after.pop(id_, None)
            if desire is not None:
                after[id_] = desire
        # A process that is gone keeps its wish for when it comes back, as long as there is room.
        for id_ in list(after):
            if len(after) <= MAX_DESIRES:
                break
            if not self._is_configured(id_):
                del after[id_]
        return after


def to_text(wishes: Wishes, version: int = DESIRES.version) -> str:
    """As the file keeps them."""
    state = DESIRES.written({"desires": {id_: desire.to_state() for id_, desire in wishes.items()}}, version)
    lines = ",\n".join(
        f"{json.dumps(id_)}:{json.dumps(wish, separators=(',', ':'))}"
        for id_, wish in state["desires"].items()
    )
    return f'{{"version":{version},"desires":{{\n{lines}\n}}}}\n'


def from_state(state: State) -> dict[str, Desire]:
    """The wishes of a file that was read.

    Raises: KeyError, TypeError, ValueError or AttributeError when it is damaged.
    """
    return {str(id_): Desire.from_state(wish) for id_, wish in state["desires"].items()}


def read(path: str, report: Callable[[str], None]) -> tuple[dict[str, Desire], bool, int]:
    """The wishes in the file, whether that is all of them, and the format to go on in.

    A damaged file is set aside, and told.
    """
    try:
        data = read_ours(path, MAX_BYTES)
    except FileNotFoundError:
        return {}, True, DESIRES.version
    except (OSError, ValueError) as error:
        _set_aside(path, str(getattr(error, "strerror", None) or error), 0, report)
        return {}, False, DESIRES.version
    try:
        state = json.loads(data)
        return from_state(DESIRES.load(state)), True, DESIRES.going_on(state[DESIRES.key])
    except UnknownVersion as error:
        _set_aside(path, str(error), 0, report)
        return {}, False, DESIRES.version
    except DAMAGE:
        kept = _salvage(data)
        _set_aside(path, "it is damaged", len(kept), report)
        return kept, False, DESIRES.version


def _salvage(data: bytes) -> dict[str, Desire]:
    """The wishes on those lines that are whole."""
    first, *lines = data.split(b"\n")
    kept: dict[str, Desire] = {}
    for line in lines:
        with contextlib.suppress(*DAMAGE):
            state = json.loads(first + line.removesuffix(b",") + b"}}")
            kept |= from_state(DESIRES.load(state))
    return kept


def _set_aside(path: str, why: str, kept: int, report: Callable[[str], None]) -> None:
    words = f"what operators stopped or disabled cannot {'all ' if kept else ''}be read from {path}: {why}"
    report(f"{words}; {set_aside(path)}; {kept} wishes are known, all else is started as configured")
