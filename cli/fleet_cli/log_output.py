"""Prints log bytes as they are, or line by line behind the name of their host where there are several.

Used by `local_log` and `remote_log`.
"""

from typing import NamedTuple

from fleet_cli.invocation import Invocation
from fleet_cli.views.text import shown


class Amount(NamedTuple):
    """How much of the end of a log is wanted: lines, or bytes when `lines` is None."""

    size: int
    lines: int | None = None


class LogOutput:
    """Owns the unfinished last line of each host, so that no line is torn by another host's."""

    def __init__(self, invocation: Invocation, hosts: list[str]) -> None:
        self._invocation = invocation
        self._is_prefixed = len(hosts) > 1
        self._width = max((len(host) for host in hosts), default=0)
        self._unfinished: dict[str, bytes] = {}

    def write(self, host: str, data: bytes) -> None:
        """Print what a host's log holds next."""
        if not data:
            return
        if self._is_prefixed:
            *lines, rest = (self._unfinished.get(host, b"") + data).split(b"\n")
            self._unfinished[host] = rest
            before = self._prefix(host)
            data = b"".join(before + line + b"\n" for line in lines)
        self._out(data)

    def gap(self, host: str, lost_bytes: int) -> None:
        """Say that bytes are missing here."""
        if lost_bytes > 0:
            self.note(host, f"{lost_bytes} bytes are gone (rotated away or cleared)")

    def note(self, host: str, text: str) -> None:
        """Say something about a host between its lines, on stderr."""
        name = f"{shown(host)}: " if self._is_prefixed and host else ""
        self._invocation.tell(f"==> {name}{shown(text)} <==")

    def finish(self) -> None:
        """Print the last lines that have no end."""
        for host, rest in self._unfinished.items():
            if rest:
                self._out(self._prefix(host) + rest + b"\n")
        self._unfinished.clear()

    def _prefix(self, host: str) -> bytes:
        return f"{shown(host):{self._width}} | ".encode()

    def _out(self, data: bytes) -> None:
        stream = self._invocation.stdout
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()


def last_lines(data: bytes, lines: int) -> bytes | None:
    """The last lines of `data`; None when it may hold fewer than asked for.

    A line without its end counts.
    """
    at = len(data)
    if data.endswith(b"\n"):
        at -= 1
    for _ in range(lines):
        at = data.rfind(b"\n", 0, at)
        if at < 0:
            return None
    return data[at + 1 :]
