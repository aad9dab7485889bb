"""A supervisor that supervises nothing: it speaks the gateway's link from a thread, with scripted rows.

It may be rude: see `silent`, `send_raw`, `on` and `end`.
"""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fleet_api.errors import Conflict, FleetError, NotFound
from fleet_api.frames import Decoder, Frame, encode
from fleet_api.rows import PositionRow, ProcessRow, UpgradeRow

AGENT_ID = "web1"


def make_row(name: str, group: str = "", **changes: Any) -> ProcessRow:
    """A running process with uptime 1 s, changed as asked."""
    now = time.time()
    row = ProcessRow(
        name=name,
        group=group or name,
        state="RUNNING",
        pid=7,
        run=1,
        description="pid 7, uptime 0:00:01",
        reason="started",
        start_time=now - 1,
        state_time=now,
        stop_time=None,
        exit=None,
        failures=0,
        spawn_error="",
        uptime=1.0,
        stdout_logfile="",
        stderr_logfile="",
        desire=None,
    )
    row.update(changes)  # type: ignore[typeddict-item]
    return row


class FakeSupervisor:
    """One end of a socket pair, served until the other end closes. `theirs` is for the gateway."""

    def __init__(self, rows: Iterable[ProcessRow], configuration: dict[str, Any] | None = None) -> None:
        self.rows = {(row["group"], row["name"]): row for row in rows}
        self.configuration = configuration or {}
        self.incarnation = "first"
        self.sequence = 10
        self.oldest = 10
        """Changes after this number are kept."""
        self.journal: list[dict[str, Any]] = []
        self.silent: set[str] = set()
        """Requests that are never answered."""
        self.on: dict[str, Callable[[Frame], dict[str, Any]]] = {
            "configure": lambda frame: self.configuration,
            "hello": self._hello,
            "ping": lambda frame: {"monotonic": time.monotonic(), "sequence": self.sequence},
            "operate": self._operate,
            "operation": self._operation,
            "upgrade": self._upgrade,
            "upgrade_result": self._upgrade_result,
            "serving": lambda frame: {},
            "present": lambda frame: {},
        }
        self.streams: dict[str, Callable[[int, Frame], None]] = {"watch": self._watch, "attend": self._attend}
        self.callable: list[int] = []
        """The streams that a gateway has opened to be called by."""
        self.seen: list[Frame] = []
        self.cancelled: list[int] = []
        self.results: dict[str, dict[str, Any]] = {}
        self.upgrade: UpgradeRow | None = None
        self._watchers: list[int] = []
        self._news = threading.Condition(threading.RLock())
        self._socket, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    # ------------------------------------------------------------ the test's side

    def start(self) -> "FakeSupervisor":
        self._thread.start()
        return self

    def end(self) -> None:
        """Close the link, as a supervisor that is killed."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(10)
        self._socket.close()
        self.theirs.close()

    def send_raw(self, data: bytes) -> None:
        with self._news:
            self._socket.sendall(data)

    def item(self, number: int, item: dict[str, Any], fds: Iterable[int] = ()) -> None:
        self._send({"id": number, "item": item}, list(fds))

    def change(self, row: ProcessRow, reason: str = "changed", removed: bool = False) -> int:
        """Tell every watcher of one change; its sequence."""
        with self._news:
            key = (row["group"], row["name"])
            old = self.rows.get(key)
            self.sequence += 1
            if removed:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
            event = {
                "sequence": self.sequence,
                "time": time.time(),
                "old_state": old["state"] if old else "STOPPED",
                "reason": reason,
                "process": row,
                "removed": removed,
            }
            self.journal.append(event)
            for number in self._watchers:
                self.item(number, {"event": event})
            return self.sequence

    def end_watch(self, missed: ProcessRow) -> int:
        """End every stream before one more change, which none of them tells; its sequence."""
        with self._news:
            ended, self._watchers = self._watchers, []
            sequence = self.change(missed)
            for number in ended:
                self._send({"id": number, "ok": {}})
            return sequence

    def restart_watch(self) -> None:
        """Interrupt the stream: a gap, and a snapshot, as after a lost journal."""
        with self._news:
            for number in self._watchers:
                self.item(number, {"gap": {"asked": self.position(), "reason": "lost"}})
                self._send_snapshot(number)

    def wait_for(self, condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Wait until a condition on this fake holds; it is looked at with each frame."""
        with self._news:
            if not self._news.wait_for(condition, seconds):
                raise AssertionError(f"not within {seconds} s: {what}")

    def wait_for_request(self, verb: str, count: int = 1) -> Frame:
        self.wait_for(lambda: len(self.requests(verb)) >= count, f"{count} requests {verb}")
        return self.requests(verb)[count - 1]

    def requests(self, verb: str) -> list[Frame]:
        return [frame for frame in self.seen if frame.get("do") == verb]

    def position(self) -> PositionRow:
        return PositionRow(agent_id=AGENT_ID, incarnation=self.incarnation, sequence=self.sequence)

    # ------------------------------------------------------------ the link's side

    def _serve(self) -> None:
        decoder = Decoder()
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                return
            if not data:
                return
            for frame in decoder.feed(data):
                with self._news:
                    self._handle(frame)
                    self._news.notify_all()

    def _handle(self, frame: Frame) -> None:
        self.seen.append(frame)
        number, verb = frame["id"], frame["do"]
        if verb in self.silent:
            return
        if verb == "cancel":
            self.cancelled.append(number)
            if number in self._watchers:
                self._watchers.remove(number)
            self._send({"id": number, "ok": {}})
            return
        try:
            if verb in self.streams:
                self.streams[verb](number, frame)
            else:
                self._send({"id": number, "ok": self.on[verb](frame)})
        except FleetError as error:
            self._send({"id": number, "error": error.to_wire()})

    def _send(self, frame: Frame, fds: list[int] | None = None) -> None:
        with self._news, contextlib.suppress(OSError):
            if fds:
                data = encode({**frame, "fds": len(fds)})
                sent = socket.send_fds(self._socket, [data], fds)
                self._socket.sendall(data[sent:])
            else:
                self._socket.sendall(encode(frame))

    def _hello(self, frame: Frame) -> dict[str, Any]:
        return {
            "version": "0.1.0",
            "api_level": 1,
            "features": ["watch", "logs"],
            "host_id": AGENT_ID,
            "pid": os.getpid(),
            "supervisor_pid": os.getpid(),
            "gateway_pid": 0,
            "identifier": "supervisor",
            "start_time": 1_700_000_000.5,
            "position": self.position(),
            "config_path": "",
        }

    def _attend(self, number: int, frame: Frame) -> None:
        self.callable.append(number)

    def _watch(self, number: int, frame: Frame) -> None:
        after = frame.get("after")
        if after is None:
            self._send_snapshot(number)
        elif after["incarnation"] != self.incarnation or after["sequence"] < self.oldest:
            self.item(number, {"gap": {"asked": after, "reason": "no longer kept"}})
            self._send_snapshot(number)
        else:
            for event in self.journal:
                if event["sequence"] > after["sequence"]:
                    self.item(number, {"event": event})
        self._watchers.append(number)

    def _send_snapshot(self, number: int) -> None:
        rows = list(self.rows.values())
        parts = [rows[start : start + 400] for start in range(0, len(rows), 400)] or [[]]
        for index, part in enumerate(parts, 1):
            self.item(number, {"snapshot": part, "position": self.position(), "last": index == len(parts)})

    def _operate(self, frame: Frame) -> dict[str, Any]:
        """Stop or start what is named exactly; the changes are told after the answer, as may happen."""
        state = "STOPPED" if frame["verb"] == "stop" else "RUNNING"
        outcomes = []
        changed = []
        for key, row in self.rows.items():
            if row["name"] in frame["terms"] or "all" in frame["terms"]:
                after = make_row(
                    row["name"],
                    row["group"],
                    state=state,
                    pid=0 if state == "STOPPED" else 8,
                    uptime=None if state == "STOPPED" else 0.0,
                )
                changed.append((key, after))
                outcomes.append(
                    {
                        "name": row["name"],
                        "group": row["group"],
                        "result": "ok",
                        "reason": frame["verb"],
                        "error": None,
                        "process": after,
                    }
                )
        context = frame["context"]
        position = {**self.position(), "sequence": self.sequence + len(changed)}
        result = {
            "operation_id": context["operation_id"] or "generated",
            "outcomes": outcomes,
            "errors": [],
            "position": position,
            "replayed": False,
        }
        self.results[context["key"]] = result
        later = threading.Timer(0.05, lambda: [self.change(row) for _, row in changed])
        later.daemon = True
        later.start()
        return result

    def _operation(self, frame: Frame) -> dict[str, Any]:
        if frame["key"] not in self.results:
            raise NotFound("OPERATION_NOT_FOUND", f"no operation with key {frame['key']}")
        return {**self.results[frame["key"]], "replayed": True}

    def _upgrade(self, frame: Frame) -> dict[str, Any]:
        if frame["python"] == "/bad/bin/python":
            raise Conflict("UPGRADE_REFUSED", "/bad/bin/python cannot take over")
        context = frame["context"]
        self.upgrade = UpgradeRow(
            id=context["key"],
            from_version="0.1.0",
            to_version="0.2.0",
            actor=context["actor"],
            replaces_keeper=True,
            began=1_700_000_001.5,
            result="switching",
            reason="",
            ended=0.0,
        )
        return dict(self.upgrade)

    def _upgrade_result(self, frame: Frame) -> dict[str, Any]:
        if self.upgrade is None or self.upgrade["id"] != frame["key"]:
            raise NotFound("UPGRADE_NOT_FOUND", f"there is no upgrade {frame['key']}")
        return {**self.upgrade, "result": "failed", "reason": "it died", "ended": 1_700_000_002.5}


class FakeLog:
    """A log in real files, rotated on demand; serves `open_log` and `follow_log` of a fake supervisor."""

    def __init__(self, supervisor: FakeSupervisor, folder: Path, log_id: str = "log-1") -> None:
        self.log_id = log_id
        self._supervisor = supervisor
        self._folder = folder
        self._segments: list[tuple[int, int]] = []
        self._followers: list[int] = []
        self.end = 0
        self._open_segment()
        supervisor.streams["follow_log"] = self._follow
        supervisor.streams["open_log"] = self._open

    def write(self, data: bytes) -> None:
        with self._supervisor._news:
            os.write(self._segments[-1][1], data)
            self.end += len(data)
            for number in self._followers:
                self._supervisor.item(number, {"end": self.end})

    def rotate(self, keep: int = 10) -> None:
        """Go on in a new file; all but `keep` of the older ones are forgotten."""
        with self._supervisor._news:
            self._open_segment()
            while len(self._segments) > keep + 1:
                os.close(self._segments.pop(0)[1])
            start, fd = self._segments[-1]
            for number in self._followers:
                self._supervisor.item(number, {"segment": {"start": start}}, [fd])

    def close(self) -> None:
        for _, fd in self._segments:
            os.close(fd)
        self._segments.clear()

    def _open_segment(self) -> None:
        path = self._folder / f"segment-{self.end}-{len(self._segments)}"
        self._segments.append((self.end, os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)))

    def _described(self) -> dict[str, Any]:
        return {
            "log_id": self.log_id,
            "segments": [{"start": start} for start, _ in self._segments],
            "end": self.end,
        }

    def _open(self, number: int, frame: Frame) -> None:
        self._refuse_strangers(frame)
        self._supervisor._send({"id": number, "ok": self._described()}, [fd for _, fd in self._segments])

    def _follow(self, number: int, frame: Frame) -> None:
        self._refuse_strangers(frame)
        self._supervisor.item(number, self._described(), [fd for _, fd in self._segments])
        self._followers.append(number)

    def _refuse_strangers(self, frame: Frame) -> None:
        if frame["process"] != "web":
            raise NotFound("NO_SUCH_PROCESS", f"no process {frame['process']}")
