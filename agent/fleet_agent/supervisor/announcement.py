"""What tells other programs of the host where the agent is: `endpoint.json` and the pidfile."""

import contextlib
import json
from collections.abc import Callable

from fleet_agent.formats.table import ENDPOINT
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
        report: Callable[[str], None],
    ) -> None:
        """`pidfile` may be empty."""
        self._endpoint_path = endpoint_path
        self._pidfile = pidfile
        self._host_id = host_id
        self._keeper_pid = keeper_pid
        self._door_path = door_path
        self._report = report

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
        for path in (self._endpoint_path, self._pidfile):
            with contextlib.suppress(OSError):
                remove_whole(path)

    def _write(self, path: str, text: str) -> None:
        try:
            write_whole(path, text)
        except OSError as error:
            self._report(f"could not write {path}: {error.strerror}")
