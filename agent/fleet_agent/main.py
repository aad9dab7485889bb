"""The command `fleet-agent`: finds the subcommand and nothing else.

Imports wait until they are needed: this module stays in memory for as long as the keeper lives.
"""

import os
import sys
from collections.abc import Sequence

from fleet_api.version import VERSION

USAGE = """\
usage: fleet-agent COMMAND [OPTION...]

  run [-c FILE] [--state-dir DIR]   supervise the programs of FILE, in the foreground
  check FILE                        report every problem of FILE
  detach                            end the agent and leave its programs running
  stop                              stop all programs in order and end the agent
  leave                             detach, or stop when this host is going down
  doctor [-c FILE]                  explain what this host can and cannot promise
  pid                               print the agent's pid; its exit code says whether it answers
  unit [-c FILE]                    print a systemd unit for this installation
  init-script [-c FILE]             print an init script for hosts without systemd
  upgrade [--to VENV]               have another version take over from the agent that runs
  trial                             tell whether this version could take over from an agent that runs
  version                           print the version
  help                              print this
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words[0] if words else ""
    if command == "run":
        from fleet_agent.commands import run  # noqa: PLC0415

        return run.run(words[1:], os.environ)
    if command == "succeed":
        from fleet_agent.commands import succeed  # noqa: PLC0415

        return succeed.run(words[1:], os.environ)
    if command == "check":
        from fleet_agent.commands import check  # noqa: PLC0415

        return check.run(words[1:], os.environ)
    if command in ("detach", "stop", "leave"):
        from fleet_agent.commands import ending  # noqa: PLC0415

        return ending.run(command, words[1:], os.environ)
    if command == "doctor":
        from fleet_agent.commands import doctor  # noqa: PLC0415

        return doctor.run(words[1:], os.environ)
    if command == "pid":
        from fleet_agent.commands import pid  # noqa: PLC0415

        return pid.run(words[1:], os.environ)
    if command in ("unit", "init-script"):
        from fleet_agent.commands import install  # noqa: PLC0415

        return install.run(command, words[1:], os.environ)
    if command == "upgrade":
        from fleet_agent.commands import upgrade  # noqa: PLC0415

        return upgrade.run(words[1:], os.environ)
    if command == "trial":
        from fleet_agent.commands import trial  # noqa: PLC0415

        return trial.run(words[1:], os.environ)
    if command in ("version", "--version", "-v"):
        sys.stdout.write(VERSION + "\n")
        return 0
    if command in ("help", "--help", "-h"):
        sys.stdout.write(USAGE)
        return 0
    problem = f"unknown command {command!r}" if command else "a command is missing"
    sys.stderr.write(f"fleet-agent: {problem}\n{USAGE}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
