"""What cannot be done at present: told when it begins, counted while it lasts, told when it is over. Pure.

A trouble has a kind (see docs/troubles.md) and a subject, the file or process that it concerns. However
often it repeats, and however many there are, two lines tell of it:

    log /srv/web.log cannot be written: No space left on device; what is printed is lost until it can
    log /srv/web.log works again after 37 failures in 12 s; 81920 bytes were lost

One that comes and goes is over only when it has stayed away for a while, each time twice as long. Of a
kind so many are told apart; the rest counts as one. Used by the supervisor, and by the keeper.
"""

from collections.abc import Iterator

from fleet_api.rows import TroubleRow

from fleet_agent.core.model import Now

MAX_PER_KIND = 8
OTHERS = "others like it"
SETTLE_SECONDS = 1.0
LONGEST_SETTLE_SECONDS = 300.0
CALM_SECONDS = 600.0
"""After so long without it, a trouble that comes again counts as a new one."""

MAX_WORDS = 400

Key = tuple[str, str]


class _Trouble:
    __slots__ = ("began", "count", "is_calm", "is_told", "lost", "over_at", "settle", "words")

    def __init__(self, words: str, now: Now) -> None:
        self.settle = SETTLE_SECONDS
        self.begin(words, now)

    def begin(self, words: str, now: Now) -> None:
        self.began = now
        self.words = words[:MAX_WORDS]
        self.count = 0
        self.lost = 0
        self.is_told = False
        self.is_calm = False
        self.over_at: float | None = None


class Table:
    """The troubles there are, and those whose end is not long ago."""

    def __init__(self) -> None:
        self._troubles: dict[Key, _Trouble] = {}

    def fail(self, kind: str, subject: str, words: str, now: Now, lost: int = 0) -> bool:
        """It could not be done (once more): `words` say why and what follows, `lost` how many bytes.

        Gives whether there is something to tell or to wait for now that there was not before.
        """
        key = kind, subject
        trouble = self._troubles.get(key)
        if trouble is None:
            key = self._room_for(key)
            trouble = self._troubles.get(key)
        if trouble is None:
            trouble = self._troubles[key] = _Trouble(words, now)
        elif trouble.is_calm:
            is_new = trouble.over_at is not None and now.monotonic - trouble.over_at > CALM_SECONDS
            trouble.settle = SETTLE_SECONDS if is_new else min(LONGEST_SETTLE_SECONDS, trouble.settle * 2)
            trouble.begin(words, now)
        trouble.count += 1
        trouble.lost += lost
        trouble.over_at = None
        return not trouble.is_told

    def over(self, kind: str, subject: str, now: Now) -> bool:
        """It can be done again. Gives the same as `fail`."""
        trouble = self._troubles.get((kind, subject)) or self._troubles.get((kind, OTHERS))
        if trouble is None or trouble.is_calm or trouble.over_at is not None:
            return False
        trouble.over_at = now.monotonic
        return True

    def lines(self, now: Now) -> list[tuple[Key, str]]:
        """What is to be told by now, once."""
        told = []
        for key, trouble in self._troubles.items():
            if not trouble.is_told:
                trouble.is_told = True
                told.append((key, f"{_name(*key)} {trouble.words}"))
            if trouble.over_at is not None and not trouble.is_calm and now.monotonic >= _due(trouble):
                trouble.is_calm = True
                told.append((key, f"{_name(*key)} {_ending(trouble)}"))
        return told

    def due(self) -> float | None:
        """When `lines` has more to tell if nothing happens until then (monotonic seconds)."""
        pending = [
            _due(trouble)
            for trouble in self._troubles.values()
            if trouble.over_at is not None and not trouble.is_calm
        ]
        return min(pending, default=None)

    def rows(self) -> Iterator[TroubleRow]:
        """Those that last, oldest first."""
        for (kind, subject), trouble in self._troubles.items():
            if not trouble.is_calm:
                yield {
                    "kind": kind,
                    "subject": subject,
                    "message": f"{_name(kind, subject)} {trouble.words}",
                    "since": trouble.began.wall,
                    "count": trouble.count,
                    "lost_bytes": trouble.lost,
                }

    def _room_for(self, key: Key) -> Key:
        """The key under which a new trouble is kept."""
        of_kind = [other for other in self._troubles if other[0] == key[0] and other[1] != OTHERS]
        if len(of_kind) < MAX_PER_KIND:
            return key
        for other in of_kind:
            if self._troubles[other].is_calm:
                del self._troubles[other]
                return key
        return key[0], OTHERS


def _due(trouble: _Trouble) -> float:
    return (trouble.over_at or 0.0) + trouble.settle


def _name(kind: str, subject: str) -> str:
    return f"{kind} {subject}" if subject else kind


def _ending(trouble: _Trouble) -> str:
    seconds = max(0.0, (trouble.over_at or 0.0) - trouble.began.monotonic)
    failures = f"{trouble.count} failure{'' if trouble.count == 1 else 's'}"
    lost = f"; {trouble.lost} bytes were lost" if trouble.lost else ""
    return f"works again after {failures} in {seconds:.0f} s{lost}"
