"""Every section and option that a configuration may have: the one table of loader and check.

An option that is not in its section's table is reported; what is in the table is converted, and what is
marked `later` is told to have no effect yet.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fleet_agent.config.environment import to_environment
from fleet_agent.config.values import (
    LOG_WORDS,
    to_address,
    to_autorestart,
    to_boolean,
    to_byte_size,
    to_directory,
    to_exit_codes,
    to_host_id,
    to_integer,
    to_list,
    to_log,
    to_log_level,
    to_name,
    to_octal,
    to_path,
    to_signal,
    to_text,
    to_user,
)
from fleet_agent.core.model import Autorestart

MEGABYTE = 1024 * 1024


class Option(NamedTuple):
    """One key of a section.

    `each`: its value may differ between the processes of a program, so that `%(process_num)d` is known.
    `relative_to`: it is a path; a relative one starts at the `working` directory or at the folder of the
    `file`. `words` are values of a path that are not paths, in lower case.
    """

    name: str
    convert: Callable[[str], Any]
    default: Any
    doc: str
    each: bool = False
    later: bool = False
    relative_to: str = ""
    words: frozenset[str] = frozenset()


class Kind(NamedTuple):
    """One kind of section. `bare` and `named`: may be written `[name]`, may be written `[name:x]`.

    `later` says what becomes of such a section in this version, when it is not served yet; `open` ones
    take any key.
    """

    name: str
    options: Mapping[str, Option]
    bare: bool = True
    named: bool = False
    later: str = ""
    open: bool = False


def _table(*options: Option) -> dict[str, Option]:
    return {option.name: option for option in options}


def _stream(name: str) -> tuple[Option, ...]:
    return (
        Option(
            f"{name}_logfile",
            to_log,
            "AUTO",
            f"where {name} is written; AUTO chooses a file, NONE throws it away",
            each=True,
            relative_to="working",
            words=LOG_WORDS,
        ),
        Option(
            f"{name}_logfile_maxbytes",
            to_byte_size,
            50 * MEGABYTE,
            "rotate at this size; 0: never",
            each=True,
        ),
        Option(f"{name}_logfile_backups", to_integer, 10, "rotated files to keep", each=True),
        Option(f"{name}_capture_maxbytes", to_byte_size, 0, "size of the capture buffer", later=True),
        Option(f"{name}_events_enabled", to_boolean, False, "emit PROCESS_LOG events", later=True),
        Option(f"{name}_syslog", to_boolean, False, "write to syslog too", each=True, later=True),
    )


_PROGRAM = _table(
    Option("command", to_text, None, "what to run, split as a shell would, without a shell", each=True),
    Option("process_name", to_name, "%(program_name)s", "the name of each process", each=True),
    Option("numprocs", to_integer, 1, "how many processes"),
    Option("numprocs_start", to_integer, 0, "the first %(process_num)d"),
    Option("priority", to_integer, 999, "lower starts earlier and stops later"),
    Option("autostart", to_boolean, True, "start it with the agent"),
    Option("autorestart", to_autorestart, Autorestart.UNEXPECTED, "start it again after it ended by itself"),
    Option("startsecs", to_integer, 1, "seconds to stay up before it counts as running"),
    Option("startretries", to_integer, 3, "failed starts to repeat before giving up"),
    Option("exitcodes", to_exit_codes, frozenset({0}), "exit codes that are expected"),
    Option("stopsignal", to_signal, 15, "the signal that asks it to stop"),
    Option("stopwaitsecs", to_integer, 10, "seconds to wait before SIGKILL"),
    Option("stopasgroup", to_boolean, False, "send the stop signal to its process group"),
    Option("killasgroup", to_boolean, None, "send SIGKILL to its process group; as stopasgroup"),
    Option("stoptree", to_boolean, True, "a stop ends every descendant, also one that called setsid"),
    Option("user", to_user, "", "the user to run as"),
    Option("umask", to_octal, None, "file mode creation mask; the agent's own"),
    Option("directory", to_text, "", "the working directory", each=True),
    Option("redirect_stderr", to_boolean, False, "write stderr where stdout goes"),
    Option("environment", to_environment, (), 'KEY="value" pairs added to the environment', each=True),
    Option("serverurl", to_text, "AUTO", "value of SUPERVISOR_SERVER_URL", later=True),
    *_stream("stdout"),
    *_stream("stderr"),
)

_SUPERVISORD = _table(
    Option(
        "logfile",
        to_path,
        "supervisord.log",
        "the activity log",
        relative_to="working",
        words=frozenset({"syslog"}),
    ),
    Option("logfile_maxbytes", to_byte_size, 50 * MEGABYTE, "rotate at this size; 0: never"),
    Option("logfile_backups", to_integer, 10, "rotated files to keep"),
    Option("loglevel", to_log_level, "info", "how much is written to the activity log"),
    Option("pidfile", to_path, "supervisord.pid", "where the agent's pid is written", relative_to="working"),
    Option("umask", to_octal, 0o022, "file mode creation mask"),
    Option("nodaemon", to_boolean, False, "accepted: the agent always stays in the foreground"),
    Option("silent", to_boolean, False, "do not repeat the activity log on stdout"),
    Option("minfds", to_integer, 1024, "least limit of open files"),
    Option("minprocs", to_integer, 200, "least limit of processes"),
    Option("nocleanup", to_boolean, False, "keep old AUTO logs"),
    Option("childlogdir", to_directory, "", "where AUTO logs go", relative_to="working"),
    Option("user", to_user, "", "the user to run as"),
    Option("directory", to_directory, "", "the working directory", relative_to="working"),
    Option("strip_ansi", to_boolean, False, "remove escape sequences from logs"),
    Option("environment", to_environment, (), 'KEY="value" pairs added to every program'),
    Option("identifier", to_text, "supervisor", "the agent's name in events and AUTO logs"),
    Option("profile_options", to_text, "", "accepted, without effect"),
)

_FLEET = _table(
    Option("listen", to_address, "", "host:port of the TCP door; none without it"),
    Option("certificate", to_text, "", "the agent's certificate", relative_to="file"),
    Option("key", to_text, "", "the key of the certificate", relative_to="file"),
    Option("ca", to_text, "", "the certificate of the fleet's CA", relative_to="file"),
    Option("host_id", to_host_id, "", "the stable name of this host; as the certificate says"),
    Option("gateway_user", to_user, "", "the unprivileged user of the gateway"),
    Option("cgroups", to_boolean, True, "give each process a cgroup of its own, where cgroup v2 can be used"),
    Option("insecure_plaintext", to_boolean, False, "true: anybody who can connect may command this agent"),
)

_GROUP = _table(
    Option("programs", to_list, (), "the programs of the group, in their order"),
    Option("priority", to_integer, 999, "lower starts earlier and stops later"),
)

_INCLUDE = _table(Option("files", to_text, "", "patterns of files to read too"))


def _named(*names: str) -> dict[str, Option]:
    return _table(*(Option(name, to_text, "", "") for name in names))


_NO_EFFECT = "has no effect yet"
_PASSED_OVER = "is not supported yet and is passed over"

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("supervisord", _SUPERVISORD),
        Kind("fleet", _FLEET),
        Kind("include", _INCLUDE),
        Kind("program", _PROGRAM, bare=False, named=True),
        Kind("group", _GROUP, bare=False, named=True),
        Kind(
            "unix_http_server",
            _named("file", "chmod", "chown", "username", "password"),
            named=True,
            later=_NO_EFFECT,
        ),
        Kind("inet_http_server", _named("port", "username", "password"), named=True, later=_NO_EFFECT),
        Kind(
            "supervisorctl",
            _named("serverurl", "username", "password", "prompt", "history_file"),
            later=_NO_EFFECT,
        ),
        Kind("rpcinterface", {}, bare=False, named=True, later=_NO_EFFECT, open=True),
        Kind("ctlplugin", {}, bare=False, named=True, later=_NO_EFFECT, open=True),
        Kind("eventlistener", {}, bare=False, named=True, later=_PASSED_OVER, open=True),
        Kind("fcgi-program", {}, bare=False, named=True, later=_PASSED_OVER, open=True),
    )
}


def kind_of(section: str) -> Kind | None:
    """The kind of a section by its header; None when nobody knows it."""
    name, colon, _ = section.partition(":")
    kind = KINDS.get(name)
    if kind is None or not (kind.named if colon else kind.bare):
        return None
    return kind
