"""A real keeper process whose supervisor is the test itself.

`SupervisedKeeper` starts the keeper; `accept` waits for the supervisor that it starts and gives a
`Link`: the supervisor's end, and the pid of the process that stands in for it.
"""

import array
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from fakes.descriptors import is_readable
from fleet_agent.link import messages
from fleet_agent.link.channel import Channel

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
DEADLINE_SECONDS = 20.0
SLEEP = ["/bin/sleep", "1000"]
M = TypeVar("M")


def sh(script: str) -> list[str]:
    """The argv of a shell script."""
    return ["/bin/sh", "-c", script]


def eventually(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait until it holds."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < end, f"{what} did not come about"
        time.sleep(0.005)


def is_alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Link:
    """The supervisor's end of a link."""

    def __init__(self, channel: Channel, pid: int, meeting: socket.socket) -> None:
        self.channel = channel
        self.pid = pid
        self.meeting = meeting
        self.heard: list[messages.Message] = []
        self.ends: dict[tuple[str, int], dict[str, int]] = {}
        self.kept: list[tuple[messages.Kept, list[int]]] = []
        self.is_ended = False

    def send(self, message: messages.Message, fds: list[int] | None = None) -> None:
        """Ask the keeper."""
        self.channel.send(messages.to_frame(message), fds or [])

    def expect(self, kind: type[M], check: Callable[[M], bool] = lambda _: True) -> M:
        """The first message of this kind that passes; it is taken out of `heard`."""
        end = time.monotonic() + DEADLINE_SECONDS
        while True:
            for index, message in enumerate(self.heard):
                if isinstance(message, kind) and check(message):
                    del self.heard[index]
                    return message
            assert time.monotonic() < end, f"no {kind.__name__} in {self.heard[:10]}"
            assert not self.is_ended, f"the link ended without {kind.__name__}: {self.heard[:10]}"
            self.turn(end - time.monotonic())

    def turn(self, seconds: float) -> None:
        """Read and write what is there."""
        poller = select.poll()
        poller.register(self.channel, select.POLLIN | (select.POLLOUT if self.channel.wants_write else 0))
        poller.poll(max(seconds, 0) * 1000)
        self.channel.flush()
        received = self.channel.receive()
        if received is None:
            self.is_ended = True
            return
        for frame, fds in received:
            message = messages.from_frame(frame)
            assert message is not None
            if isinstance(message, messages.Child | messages.Spawned):
                self.ends[message.process, message.run] = dict(zip(message.streams, fds, strict=True))
            elif isinstance(message, messages.Kept):
                self.kept.append((message, fds))
            else:
                assert not fds
            self.heard.append(message)

    def spawn(self, process: str, argv: list[str], run: int = 1, **fields: Any) -> messages.Spawned:
        """Start a run and wait until it is told."""
        self.ask_spawn(process, argv, run, **fields)
        return self.expect(messages.Spawned, lambda m: (m.process, m.run) == (process, run))

    def ask_spawn(self, process: str, argv: list[str], run: int = 1, **fields: Any) -> None:
        """Ask for a run."""
        fields.setdefault("executable", argv[0])
        self.send(messages.Spawn(process=process, run=run, argv=argv, **{"environment": {}, **fields}))

    def exited(self, process: str, run: int = 1) -> messages.Exited:
        """Wait for the end of a run."""
        return self.expect(messages.Exited, lambda m: (m.process, m.run) == (process, run))

    def read(self, process: str, size: int, stream: str = "stdout", run: int = 1) -> bytes:
        """Wait for so many bytes of output."""
        fd = self.ends[process, run][stream]
        data = b""
        end = time.monotonic() + DEADLINE_SECONDS
        while len(data) < size:
            assert time.monotonic() < end, f"only {len(data)} bytes of {size}"
            if is_readable(fd, 0.5):
                piece = os.read(fd, size - len(data))
                assert piece, f"the stream ended after {len(data)} bytes"
                data += piece
        return data

    def read_all(self, process: str, stream: str = "stdout", run: int = 1) -> bytes:
        """The output up to its end."""
        fd = self.ends[process, run][stream]
        data = b""
        end = time.monotonic() + DEADLINE_SECONDS
        while True:
            assert time.monotonic() < end, f"no end after {len(data)} bytes"
            if is_readable(fd, 0.5):
                piece = os.read(fd, 65536)
                if not piece:
                    return data
                data += piece

    def has_nothing_new(self) -> bool:
        """Hear what is there; whether nothing is left unexpected."""
        self.turn(0.05)
        return not self.heard

    def wait_for_end(self) -> None:
        """Wait until the keeper closes the link."""
        end = time.monotonic() + DEADLINE_SECONDS
        while not self.is_ended:
            assert time.monotonic() < end, "the link does not end"
            self.turn(1)

    def kill(self) -> None:
        """End this supervisor as kill -9 does: the process, the link and all descriptors at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def exit(self, code: int) -> None:
        """Let the supervisor leave with this code."""
        self.meeting.send(b"exit %d" % code)

    def close(self) -> None:
        """Give up this end of the link and what was received."""
        self.channel.close()
        for ends in self.ends.values():
            for fd in ends.values():
                os.close(fd)
        self.ends.clear()
        for _, fds in self.kept:
            for fd in fds:
                os.close(fd)
        self.kept.clear()
        self.meeting.close()


class SupervisedKeeper:
    """The keeper process and its meeting point with the test."""

    def __init__(
        self,
        folder: Path,
        supervisor: list[str] | None = None,
        state: Path | None = None,
        kill_seconds: float = 10.0,
        **options: Any,
    ) -> None:
        self.folder = folder
        self.state = state or folder / "state"
        self._at = folder / "meet"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._at.unlink(missing_ok=True)
        self._listener.bind(str(self._at))
        self._listener.listen()
        self._listener.settimeout(DEADLINE_SECONDS)
        argv = supervisor or [sys.executable, "-IS", str(PROGRAMS / "lend_link.py"), str(self._at)]
        self.notes = folder / "stderr"
        self._options = options
        self._argv = [
            sys.executable,
            str(PROGRAMS / "run_keeper.py"),
            str(self.state),
            str(kill_seconds),
            *argv,
        ]
        self._links: list[Link] = []
        self._known: set[int] = set()
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.notes.open("ab") as notes:
            return subprocess.Popen(self._argv, stderr=notes, stdin=subprocess.DEVNULL, **self._options)

    def again(self) -> None:
        """Start a keeper anew on the same folders, the old one being gone."""
        assert self.process.poll() is not None
        self.process = self._start()

    def accept(self, begin: bool = True) -> Link:
        """The next supervisor, its introduction heard."""
        meeting, _ = self._listener.accept()
        data, ancillary, _, _ = meeting.recvmsg(100, socket.CMSG_SPACE(4))
        fds = array.array("i", ancillary[0][2])
        link = Link(Channel(socket.socket(fileno=fds[0])), int(data), meeting)
        self._links.append(link)
        if begin:
            link.expect(messages.Hello)
            link.expect(messages.Begin)
            link.send(messages.Ready())
        return link

    def wait(self) -> int:
        """The exit code of the keeper."""
        return self.process.wait(DEADLINE_SECONDS)

    def said(self) -> str:
        """What the keepers have printed."""
        return self.notes.read_text()

    def __enter__(self) -> "SupervisedKeeper":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pids = self._descendants()
        self.process.kill()
        self.process.wait()
        for link in self._links:
            link.kill()
        for pid in pids:
            # Each leads a group, in which programs of its own may live.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        self._listener.close()

    def note(self, pid: int) -> int:
        """Have this pid killed at the end, though it is no child of the last keeper."""
        self._known.add(pid)
        return pid

    def _descendants(self) -> set[int]:
        try:
            children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        except OSError:
            children = ""
        return {pid for pid in {*map(int, children.split()), *self._known} if is_alive(pid)}
