"""supervisord under measurement: the same programs, as few descriptors to close as they allow."""

import contextlib
import http.client
import os
from pathlib import Path
from typing import Any
from xmlrpc.client import Error, ServerProxy

from daemon import BIN, Daemon, Programs, Row
from supervisor.xmlrpc import SupervisorTransport

# Three pipes and two logs; each child closes all descriptors up to `minfds` one by one.
DESCRIPTORS_PER_PROGRAM = 5
DESCRIPTORS_BESIDE = 100


class Supervisord(Daemon):
    """supervisord, spoken to over one connection that stays open."""

    name = "supervisord"

    def __init__(self, folder: Path, child: str, programs: Programs) -> None:
        super().__init__(folder, child, programs)
        self._proxy: Any = None

    def header(self) -> str:
        """The sections of the daemon itself."""
        folder = self.folder
        user = "user=root\n" if os.geteuid() == 0 else ""  # else it complains at each start
        return (
            f"[unix_http_server]\nfile={folder}/s\n"
            f"[supervisorctl]\nserverurl=unix://{folder}/s\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisord]\nlogfile={folder}/activity.log\npidfile={folder}/supervisord.pid\n"
            f"childlogdir={folder}\nsilent=true\n{user}"
            f"minfds={DESCRIPTORS_PER_PROGRAM * self.programs.size + DESCRIPTORS_BESIDE}\n"
        )

    def command(self) -> list[str]:
        """How it is started, in the foreground."""
        return [str(BIN / "supervisord"), "-n", "-c", str(self.config)]

    def ask(self, method: str, *arguments: object) -> Any:
        """One call.

        Raises: OSError, http.client.HTTPException or xmlrpc.client.Error.
        """
        if self._proxy is None:
            transport = SupervisorTransport(None, None, f"unix://{self.folder}/s")
            self._proxy = ServerProxy("http://127.0.0.1", transport=transport)
        try:
            return getattr(self._proxy.supervisor, method)(*arguments)
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Let go of connections to it."""
        if self._proxy is not None:
            self._proxy("close")()
            self._proxy = None

    def pids(self) -> list[int]:
        """The one process."""
        return [self.pid]

    def rows(self) -> dict[int, Row]:
        """What it says of its programs, by number; empty while it does not answer."""
        with contextlib.suppress(OSError, http.client.HTTPException, Error):
            found = self.ask("getAllProcessInfo")
            return {int(row["name"][1:]): Row(row["statename"], row["pid"]) for row in found}
        return {}

    def start_program(self, number: int) -> None:
        """Have it start one program, and do not wait."""
        self.ask("startProcess", f"p{number}", False)
