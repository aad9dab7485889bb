"""`fleet-agent run`: becomes the keeper of this host's children. Called by `main`."""

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fleet_api.errors import BadRequest, FleetError, NotFound
from fleet_api.paths import agent_paths

from fleet_agent.keeper import folders
from fleet_agent.keeper.handover import Version
from fleet_agent.keeper.keeper import Keeper
from fleet_agent.keeper.notify import ServiceManager

BAD_USE = 2
_HINT = "fleet-agent help"
FIELDS = {"-c": "configuration", "--configuration": "configuration", "--state-dir": "state_dir"}


class Options(NamedTuple):
    """What the command line says; empty where it says nothing."""

    configuration: str = ""
    state_dir: str = ""
    to: str = ""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Hold children until asked to leave.

    The exit code: 0 after a stop; 2 for bad use, a bad configuration, a second agent, a failed adoption.
    """
    try:
        options = parse(arguments)
        configuration = options.configuration or find_configuration()
        paths = agent_paths(options.state_dir or None, os.geteuid(), environ)
        locks = folders.prepare(paths)
    except FleetError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"fleet-agent: {error.message}{hint}\n")
        return BAD_USE
    raise_open_files()
    version = version_of(sys.executable, os.path.abspath(configuration), options.state_dir)
    manager = ServiceManager(os.environ, os.getpid())
    keeper = Keeper(paths.runtime, version, locks, dict(os.environb), manager)
    try:
        keeper.begin()
    except OSError as error:
        words = f"what an earlier agent left running cannot be taken over: {error}; it runs on"
        sys.stderr.write(f"fleet-agent: {words}, and nothing is started\n")
        return BAD_USE
    return keeper.hold()


def parse(arguments: Sequence[str], command: str = "run", fields: Mapping[str, str] = FIELDS) -> Options:
    """The options of a command that takes some of those of `run`.

    Raises: BadRequest for one that is unknown or lacks its value.
    """
    options = Options()
    words = list(arguments)
    while words:
        word, equals, value = words.pop(0).partition("=")
        if command == "run" and word in ("-n", "--nodaemon") and not equals:
            # It never leaves the foreground; accepted since supervisord's units say it.
            continue
        field = fields.get(word)
        if field is None:
            raise BadRequest("UNKNOWN_OPTION", f"{command} takes no {word!r}", _HINT)
        if not equals:
            if not words:
                raise BadRequest("OPTION_WITHOUT_VALUE", f"{word} needs a value", _HINT)
            value = words.pop(0)
        if not value:
            raise BadRequest("OPTION_WITHOUT_VALUE", f"{word} needs a value", _HINT)
        options = options._replace(**{field: value})
    return options


def version_of(python: str, configuration: str, state_dir: str) -> Version:
    """How this version's supervisor (its end of the link is descriptor 3) and keeper are started."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # Without the columns of each line, of which only tracebacks tell, its code takes half a megabyte less.
    begin = [python, "-P", "-X", "no_debug_ranges"]
    supervisor = [*begin, os.path.join(package, "supervisor", "main.py"), "--link-fd", "3"]
    keeper = [python, "-P", os.path.join(package, "main.py"), "succeed"]
    options = ["--config", configuration, *(["--state-dir", os.path.abspath(state_dir)] if state_dir else [])]
    return Version([*supervisor, *options], [*keeper, *options])


def find_configuration() -> str:
    """The configuration to use when none is named, as supervisord looks for it.

    Raises: NotFound naming where it was looked for.
    """
    from fleet_agent.config.search import search  # noqa: PLC0415 - only when no file is named

    candidates = search(os.path.dirname(sys.argv[0]), os.getcwd())
    for path in candidates:
        if os.path.isfile(path):
            return path
    raise NotFound(
        "NO_CONFIGURATION",
        f"no configuration: none of {', '.join(candidates)} exists",
        "name one: fleet-agent run -c FILE",
    )


def raise_open_files() -> None:
    """Three descriptors for each child: the keeper takes all it may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        return
