"""`fleet-agent doctor`: what this host can promise and what it cannot, check by check."""

import json
import os
import sys
from collections.abc import Mapping, Sequence

from fleet_api.errors import FleetError, NotFound
from fleet_api.paths import agent_paths

from fleet_agent.commands.run import find_configuration, parse
from fleet_agent.host.check import Check, Verdict
from fleet_agent.host.checks import kernel, limits, places, service
from fleet_agent.host.facts import Facts
from fleet_agent.host.gathering import gather
from fleet_agent.keeper.folders import keeper_of

USAGE = """\
usage: fleet-agent doctor [-c FILE] [--state-dir DIR] [--json]

Explains what this host can promise to the programs of FILE and what it cannot. Ask as the user who runs the
agent; whether it runs now does not matter, and nothing is changed.

exit codes: 0 all is well, 1 some promise is limited, 2 something is missing without which the agent, or a
program, cannot run
"""
_EXIT_CODES = {Verdict.OK: 0, Verdict.LIMITED: 1, Verdict.MISSING: 2}
BAD_USE = 2


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Examine this host; the exit code."""
    if any(word in ("-h", "--help") for word in arguments):
        sys.stdout.write(USAGE)
        return 0
    try:
        options = parse([word for word in arguments if word != "--json"], "doctor")
        paths = agent_paths(options.state_dir or environ.get("FLEET_STATE_DIR"), os.geteuid(), environ)
    except FleetError as error:
        sys.stderr.write(f"fleet-agent: {error.message} ({error.hint})\n")
        return BAD_USE
    try:
        keeper = keeper_of(paths)
    except FleetError:
        # Another user's: that folder is what will be told.
        keeper = None
    pid = 0
    if keeper is not None:
        pid = keeper[0]
        os.close(keeper[1])
    try:
        configuration = os.path.abspath(options.configuration or find_configuration())
    except NotFound:
        configuration = ""
    checks = judge(gather(configuration, paths, pid, environ))
    sys.stdout.write(as_json(checks) if "--json" in arguments else as_text(checks))
    return max(_EXIT_CODES[check.verdict] for check in checks)


def judge(facts: Facts) -> list[Check]:
    """Every check, in the order it is read."""
    return [*service.judge(facts), *places.judge(facts), *limits.judge(facts), *kernel.judge(facts)]


def as_text(checks: Sequence[Check]) -> str:
    """A line for each check, what is not ok with its meaning and cure, and the count."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.verdict:8} {check.name:{width}}  {check.finding}")
        if check.verdict is not Verdict.OK:
            lines.append(f"{'':8} {'':{width}}  means: {check.meaning}")
            lines.append(f"{'':8} {'':{width}}  cure:  {check.cure}")
    counts = [(verdict, sum(check.verdict is verdict for check in checks)) for verdict in Verdict]
    lines.append(", ".join(f"{count} {verdict}" for verdict, count in counts if count))
    return "\n".join(lines) + "\n"


def as_json(checks: Sequence[Check]) -> str:
    """One document: keys are only added."""
    return (
        json.dumps({"schema": "fleet-agent/doctor/v1", "checks": [check._asdict() for check in checks]})
        + "\n"
    )
