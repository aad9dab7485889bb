"""One log of a process on one or more hosts, through the controller; each host has its own cursor."""

import threading
from collections.abc import Sequence

from fleet_api.errors import Unavailable
from fleet_api.hostset import fold
from fleet_api.rows import ErrorRow

from fleet_cli.answers import Bucket, HostAnswer
from fleet_cli.invocation import Invocation
from fleet_cli.log_output import Amount, LogOutput, last_lines
from fleet_cli.remote import Controller, LogCursors, LogPiece
from fleet_cli.retry import RESUME_SECONDS, Retry

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 10.0
_FIRST_BYTES = 16 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_SILENT = frozenset({Bucket.UNREACHABLE, Bucket.TIMED_OUT})


class RemoteLog:
    """Reads one log on these hosts. `answers` tells how each ended; hosts that did well are OK."""

    def __init__(
        self,
        controller: Controller,
        hosts: Sequence[str],
        process: str,
        stream: str,
        invocation: Invocation,
        output: LogOutput,
    ) -> None:
        self._buckets = dict.fromkeys(hosts, Bucket.OK)
        self._errors: dict[str, ErrorRow] = {}
        self._controller = controller
        self._process = process
        self._stream = stream
        self._invocation = invocation
        self._output = output
        self._cursors: LogCursors = {}
        self._away: set[str] = set()
        self._told: set[str] = set()

    def answers(self) -> list[HostAnswer]:
        """Where each host ended. A process that some host has is no mistake where there is none."""
        has_any = Bucket.OK in self._buckets.values() or bool(self._cursors)
        return [
            HostAnswer(host, Bucket.OK)
            if has_any and self._has_no_process(host)
            else HostAnswer(host, bucket, error=self._errors.get(host))
            for host, bucket in self._buckets.items()
        ]

    def show(self, amount: Amount) -> None:
        """Print the end of each log. Raises: what the controller refuses, or why it does not answer."""
        if amount.lines is None:
            self._read_all(amount.size)
        else:
            self._show_lines(amount.lines)
        self._output.finish()

    def follow(self, amount: Amount) -> None:
        """Print the end of each log and whatever is added, until interrupted or no host is left.

        A host that breaks off is asked again from its cursor, without losing or repeating a byte.
        """
        if amount.lines is not None:
            self._show_lines(amount.lines)
        pause = _FIRST_PAUSE_SECONDS
        retry = self._invocation.retry()
        while hosts := [host for host, bucket in self._buckets.items() if bucket is Bucket.OK]:
            before = dict(self._cursors)
            try:
                self._follow_once(hosts, amount.size, pause)
            except Unavailable as error:
                if self._cursors != before:
                    retry = Retry(self._invocation.clock, self._invocation.sleep, RESUME_SECONDS)
                self._tell("", error.message)
                if not self._cursors or not retry.wait_or_give_up():
                    raise
            pause = (
                _FIRST_PAUSE_SECONDS if self._cursors != before else min(pause * 2, _LONGEST_PAUSE_SECONDS)
            )
        self._output.finish()

    def _follow_once(self, hosts: list[str], last_bytes: int, pause: float) -> None:
        call = self._controller.read_log(
            fold(hosts), self._process, self._stream, last_bytes, self._cursors, follow=True
        )
        timer: threading.Timer | None = None
        try:
            for piece in call:
                self._take(piece, can_resume=True)
                if self._away and timer is None:
                    # One call asks all hosts: it has to be made anew for those that broke off.
                    timer = threading.Timer(pause, call.cancel)
                    timer.start()
        finally:
            if timer is not None:
                timer.cancel()
                timer.join()
        self._away.clear()
        if timer is None and any(self._buckets[host] is Bucket.OK for host in hosts):
            self._invocation.sleep(pause)  # it ended without a word

    def _read_all(self, last_bytes: int) -> None:
        retry = self._invocation.retry()
        while True:
            before = dict(self._cursors)
            try:
                for piece in self._controller.read_log(
                    fold(self._buckets), self._process, self._stream, last_bytes, self._cursors, follow=False
                ):
                    self._take(piece, can_resume=False)
                return
            except Unavailable:
                if self._cursors != before:
                    retry.reset()
                if not retry.wait_or_give_up():
                    raise

    def _show_lines(self, lines: int) -> None:
        """Ask for more and more of each log's end until it holds the lines."""
        size = max(_FIRST_BYTES, lines * 256)
        hosts = list(self._buckets)
        while hosts:
            ends = self._ends(hosts, size)
            short = []
            for host in hosts:
                data, start = ends.get(host, (b"", 0))
                found = last_lines(data, lines) if lines else b""
                if found is None and start > 0 and len(data) >= size and size < _MOST_BYTES:
                    short.append(host)
                else:
                    self._output.write(host, data if found is None else found)
            hosts, size = short, size * 8

    def _ends(self, hosts: list[str], size: int) -> dict[str, tuple[bytes, int]]:
        """The last `size` bytes of each log, and the absolute byte where they begin."""
        pieces: dict[str, list[LogPiece]] = {}
        for piece in self._controller.read_log(
            fold(hosts), self._process, self._stream, size, {}, follow=False
        ):
            if piece.bucket is not None:
                self._end(piece)
            else:
                pieces.setdefault(piece.host, []).append(piece)
        result = {}
        for host, parts in pieces.items():
            data = b"".join(part.data for part in parts)
            self._cursors[host] = (parts[-1].log_id, parts[-1].next_offset)
            result[host] = (data, parts[-1].next_offset - len(data))
        return result

    def _take(self, piece: LogPiece, *, can_resume: bool) -> None:
        host = piece.host
        if piece.bucket is None:
            self._output.gap(host, piece.lost_bytes)
            self._output.write(host, piece.data)
            self._cursors[host] = (piece.log_id, piece.next_offset)
            self._tell_return("", host)
            return
        error = piece.error
        if can_resume and host in self._cursors:
            if error is not None and error["code"] in {"LOG_CHANGED", "LOG_CURSOR_AHEAD"}:
                self._output.note(host, "the log began anew")
                self._cursors[host] = ("", 0)
                self._away.add(host)
                return
            if piece.bucket in _SILENT:
                self._tell(host, _why(piece))
                self._away.add(host)
                return
        self._end(piece)
        if can_resume and not self._has_no_process(host):
            self._output.note(host, f"{_why(piece)}; not followed any more")

    def _tell(self, host: str, why: str) -> None:
        """Say once why a host (or "", the controller) is away."""
        if host not in self._told:
            self._told.add(host)
            self._output.note(host, f"{why}; asking again")

    def _tell_return(self, *places: str) -> None:
        """Say once that a host (or "", the controller) that was away is back."""
        for place in self._told.intersection(places):
            self._told.discard(place)
            self._output.note(place, "back" if place else "the controller is back")

    def _end(self, piece: LogPiece) -> None:
        assert piece.bucket is not None
        self._buckets[piece.host] = piece.bucket
        if piece.error is not None:
            self._errors[piece.host] = piece.error

    def _has_no_process(self, host: str) -> bool:
        return host in self._errors and self._errors[host]["code"] == "NO_SUCH_PROCESS"


def _why(piece: LogPiece) -> str:
    if piece.error is not None:
        return piece.error["message"]
    return piece.bucket.words if piece.bucket else ""
