"""What tells other programs of the host where the agent is: `endpoint.json` and the pidfile."""

import contextlib
import json
from collections.abc import Callable

from fleet_agent.formats.table import ENDPOINT
from fleet_agent.supervisor.troubles import Report
from fleet_agent.supervisor.whole_file import remove_whole, write_whole


class Announcement:
    """Owns both files from the start of the agent to its ordered end; a missing one stops nothing."""

    def __init__(
        self,
        endpoint_path: str,
        pidfile: str,
        host_id: str,
        keeper_pid: int,
        door_path: str,
        about: Callable[[str, str, Callable[[], None]], Report],
    ) -> None:
        """`pidfile` may be empty; `about(kind, path, retry)` gives whom to tell that a
        file cannot be written."""
        self._endpoint_path = endpoint_path
        self._pidfile = pidfile
        self._host_id = host_id
        self._keeper_pid = keeper_pid
        self._door_path = door_path
        self._about = about
        self._reports: dict[str, Report] = {}
        # What is to stand in each file; nothing once it was taken back.
        self._texts: dict[str, str] = {}

    def make(self, address: str) -> None:
        """Write both, once the door answers; `address` is the TCP door's, empty as long as there is none."""
        self.tell_address(address)
        if self._pidfile:
            self._write(self._pidfile, f"{self._keeper_pid}\n")

    def tell_address(self, address: str) -> None:
        """Write the addresses in use."""
        endpoint = {
            "host_id": self._host_id,
            "pid": self._keeper_pid,
            "door": self._door_path,
            "grpc": address or None,
        }
        self._write(self._endpoint_path, json.dumps(ENDPOINT.dump(endpoint, ENDPOINT.version)))

    def take_back(self) -> None:
        """Remove both: the agent leaves."""
        self._texts.clear()
        for path in (self._endpoint_path, self._pidfile):
            with contextlib.suppress(OSError):
                remove_whole(path)

    def _write(self, path: str, text: str) -> None:
        self._texts[path] = text
        if path not in self._reports:
            self._reports[path] = self._about("file", path, lambda: self._put(path))
        self._put(path)

    def _put(self, path: str) -> None:
        text = self._texts.get(path)
        if text is None:
            return
        report = self._reports[path]
        try:
            write_whole(path, text)
        except OSError as error:
            report(f"cannot be written: {error.strerror}; programs that look there may not find this agent")
        else:
            report("")
