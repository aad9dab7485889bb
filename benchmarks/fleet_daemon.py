"""fleet-agent under measurement."""

import contextlib
import os
from pathlib import Path
from typing import Any

from daemon import BIN, Daemon, Programs, Row
from fleet_api.door import Door
from fleet_api.errors import FleetError

ANSWER_SECONDS = 30.0


class FleetAgent(Daemon):
    """Keeper and supervisor; a gateway, too, where it `listens` on a TCP port."""

    name = "fleet-agent"

    def __init__(
        self, folder: Path, child: str, programs: Programs, state_dir: Path, listens: bool = False
    ) -> None:
        self.listens = listens
        super().__init__(folder, child, programs)
        self.state_dir = str(state_dir)

    def header(self) -> str:
        """The sections of the daemon itself."""
        folder = self.folder
        return (
            f"[supervisord]\nlogfile={folder}/activity.log\npidfile={folder}/agent.pid\n"
            f"childlogdir={folder}\nsilent=true\n"
            + ("[fleet]\nlisten=127.0.0.1:0\ninsecure_plaintext=true\n" if self.listens else "")
        )

    def command(self) -> list[str]:
        """How it is started, in the foreground."""
        return [str(BIN / "fleet-agent"), "run", "-c", str(self.config), "--state-dir", self.state_dir]

    def door(self) -> Door:
        """A connection to it.

        Raises: FleetError.
        """
        return Door.connect(os.path.join(self.state_dir, "run", "door.sock"))

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """One request.

        Raises: FleetError.
        """
        with self.door() as door:
            return door.request(do, timeout_seconds=ANSWER_SECONDS, **arguments)

    def pids(self) -> list[int]:
        """Keeper and supervisor, and the gateway where there is one."""
        hello = self.ask("hello")
        return [pid for pid in (hello["pid"], hello["supervisor_pid"], hello["gateway_pid"]) if pid]

    def rows(self) -> dict[int, Row]:
        """What it says of its programs, by number; empty while it does not answer."""
        with contextlib.suppress(FleetError):
            processes = self.ask("status", terms=[])["processes"]
            return {int(row["name"][1:]): Row(row["state"], row["pid"]) for row in processes}
        return {}

    def start_program(self, number: int) -> None:
        """Have it start one program, and do not wait."""
        self.ask("operate", verb="start", terms=[f"p{number}"], signal="", wait=False, context={})
