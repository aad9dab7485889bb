"""`fleet-agent unit` and `init-script`: print the file that starts this installation with its host."""

import os
import sys
from collections.abc import Mapping, Sequence

from fleet_api.errors import BadRequest, FleetError
from fleet_api.paths import agent_paths

from fleet_agent.commands.run import find_configuration, parse
from fleet_agent.config.load import load
from fleet_agent.config.settings import AgentConfig
from fleet_agent.host.going_down import ask_host
from fleet_agent.host.init_script import init_script_text
from fleet_agent.host.installation import Installation, agent_command, stop_seconds
from fleet_agent.host.unit import systemd_version, unit_text

USAGE = """\
usage: fleet-agent unit [-c FILE] [--state-dir DIR] > /etc/systemd/system/fleet-agent.service
       fleet-agent init-script [-c FILE] [--state-dir DIR] > /etc/init.d/fleet-agent

Prints the file that starts this installation of fleet-agent with the host: a systemd unit, or an init script
for hosts without systemd. See docs/running.md.

exit codes: 0 printed, 2 bad use or a bad configuration
"""
DONE = 0
BROKEN = 2


def run(which: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the unit or the init script; the exit code."""
    if any(word in ("-h", "--help") for word in arguments):
        sys.stdout.write(USAGE)
        return DONE
    try:
        options = parse(arguments, which)
        configuration = os.path.abspath(options.configuration or find_configuration())
        installation = describe(configuration, options.state_dir, environ)
    except FleetError as error:
        sys.stderr.write(f"fleet-agent: {error.message} ({error.hint})\n")
        return BROKEN
    if which == "unit":
        sys.stdout.write(unit_text(installation, systemd_version(ask_host(["systemctl", "--version"]))))
    else:
        state = agent_paths(installation.state_dir or None, os.geteuid(), environ).state
        sys.stdout.write(init_script_text(installation, os.path.join(state, "stderr.log")))
    return DONE


def describe(configuration: str, state_dir: str, environ: Mapping[str, str]) -> Installation:
    """This installation with that configuration.

    Raises: BadRequest when the file cannot be run.
    """
    return Installation(
        agent_command(sys.argv[0], sys.executable),
        configuration,
        os.path.abspath(state_dir) if state_dir else "",
        stop_seconds(_loaded(configuration, environ).groups),
        os.geteuid() == 0,
    )


def _loaded(configuration: str, environ: Mapping[str, str]) -> AgentConfig:
    loaded = load(configuration, environ, host_name=os.uname().nodename)
    if loaded.config is None:
        raise BadRequest(
            "BAD_CONFIG",
            f"{configuration} cannot be run: {loaded.problems[0]}",
            f"fleet-agent check {configuration}",
        )
    return loaded.config
