"""`fleet-agent trial`: whether this version could take over from an agent that runs; changes nothing.

Run by `upgrade` with the program of the version to come, before anything is replaced.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence

from fleet_api.errors import BadRequest, FleetError
from fleet_api.paths import AgentPaths, agent_paths
from fleet_api.version import VERSION

from fleet_agent.commands.run import version_of
from fleet_agent.config.load import load
from fleet_agent.core.upgrade import Report
from fleet_agent.formats.held import RUN_RECORD
from fleet_agent.keeper import procfs
from fleet_agent.keeper.fingerprint import fingerprint
from fleet_agent.keeper.folders import FOLDERS
from fleet_agent.keeper.run_records import Run
from fleet_agent.supervisor.requests import API_LEVEL
from fleet_agent.supervisor.trial import Trial

USAGE = """\
usage: fleet-agent trial [--state-dir DIR] [-c FILE]

Reads all state of the agent that runs with these folders, as this version would when it took over, and
changes nothing. Prints one JSON object: what this version is, which formats it reads and writes, which of
them are there, and every problem in words.

  --state-dir DIR   where that agent keeps its state, as for run
  -c FILE           its configuration file, to be looked at as well

exit codes: 0 it can take over, 1 it cannot, 2 bad use
"""

GOOD = 0
CANNOT = 1
BAD_USE = 2

_PROGRAMS = ("fleet_agent.keeper.keeper", "fleet_agent.supervisor.agent", "fleet_agent.gateway.main")


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the report; the exit code."""
    if any(word in ("-h", "--help") for word in arguments):
        sys.stdout.write(USAGE)
        return GOOD
    try:
        state_dir, configuration = parse(arguments)
        paths = agent_paths(state_dir or None, os.geteuid(), environ)
    except FleetError as error:
        sys.stderr.write(f"fleet-agent trial: {error.message}\n{USAGE}")
        return BAD_USE
    report = examine(paths, configuration, environ)
    version = version_of(sys.executable, os.path.abspath(configuration), state_dir)
    report = report._replace(supervisor_argv=tuple(version.supervisor), keeper_argv=tuple(version.keeper))
    sys.stdout.write(json.dumps(report.to_state()) + "\n")
    return CANNOT if report.problems else GOOD


def parse(arguments: Sequence[str]) -> tuple[str, str]:
    """State folder and configuration file, empty where they are not named.

    Raises: BadRequest.
    """
    found = {"--state-dir": "", "-c": ""}
    words = list(arguments)
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name not in found:
            raise BadRequest("UNKNOWN_OPTION", f"no option {name!r}")
        if not equals and words:
            value = words.pop(0)
        if not value:
            raise BadRequest("OPTION_WITHOUT_VALUE", f"{name} needs a value")
        found[name] = value
    return found["--state-dir"], found["-c"]


def examine(paths: AgentPaths, configuration: str, environ: Mapping[str, str]) -> Report:
    """Look at everything."""
    trial = Trial(time.sleep)
    for program in _PROGRAMS:
        try:
            importlib.import_module(program)
        except Exception as error:  # a version whose parts do not fit together fails in many ways
            trial.problems.append(f"{program} of fleet-agent {VERSION} cannot be loaded: {error!r}")
    _read_run_records(trial, paths.runtime)
    trial.read_runtime(paths.runtime, procfs.boot_id())
    trial.read_state(paths.state)
    trial.finish()
    if configuration:
        _read_configuration(trial, configuration, environ)
    return Report(
        version=VERSION,
        python=".".join(map(str, sys.version_info[:3])),
        api_level=API_LEVEL,
        formats=trial.formats,
        keeper=fingerprint(),
        problems=tuple(trial.problems),
        notes=tuple(trial.notes),
    )


def _read_run_records(trial: Trial, runtime: str) -> None:
    fifos, records = (os.path.join(runtime, name) for name in FOLDERS)
    names = sorted(os.listdir(records)) if os.path.isdir(records) else []
    for name in names:
        if name.endswith(".json"):
            stem = name.removesuffix(".json")
            trial.read_whole(
                RUN_RECORD,
                os.path.join(records, name),
                lambda state, stem=stem: Run.from_state(state, stem, fifos),  # type: ignore[misc]
            )


def _read_configuration(trial: Trial, path: str, environ: Mapping[str, str]) -> None:
    """The file matters to the next start of the agent; a supervisor goes on with what is in force."""
    loaded = load(path, environ, host_name=os.uname().nodename)
    if loaded.config is None:
        words = [str(problem) for problem in loaded.problems]
        (trial.notes if trial.formats["active"].found else trial.problems).extend(words)
