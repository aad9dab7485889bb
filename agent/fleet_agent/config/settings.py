"""What a configuration file says, checked and frozen: the result of loading it."""

from typing import NamedTuple

from fleet_agent.core.model import GroupSpec


class DaemonSettings(NamedTuple):
    """The `[supervisord]` section. Units: bytes; `umask` octal as an int; paths absolute."""

    logfile: str = "supervisord.log"
    logfile_maxbytes: int = 50 * 1024 * 1024
    logfile_backups: int = 10
    loglevel: str = "info"
    pidfile: str = "supervisord.pid"
    umask: int = 0o022
    silent: bool = False
    minfds: int = 1024
    minprocs: int = 200
    nocleanup: bool = False
    childlogdir: str = ""
    user: str = ""
    directory: str = ""
    strip_ansi: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    identifier: str = "supervisor"


class FleetSettings(NamedTuple):
    """The `[fleet]` section: what a supervisord would pass over.

    `listen` is `host:port`; empty means no TCP door at all. With `listen`, `certificate`, `key` and `ca`
    are required unless `insecure_plaintext` says in so many words that anybody may command this agent.
    """

    listen: str = ""
    certificate: str = ""
    key: str = ""
    ca: str = ""
    host_id: str = ""
    gateway_user: str = ""
    insecure_plaintext: bool = False
    cgroups: bool = True


class AgentConfig(NamedTuple):
    """A whole configuration; groups in their order of start."""

    path: str
    daemon: DaemonSettings
    fleet: FleetSettings
    groups: tuple[GroupSpec, ...]
