"""`fleet-agent pid`: whether an agent runs here and answers, for scripts. Called by `main`."""

import os
import sys
from collections.abc import Mapping, Sequence

from fleet_api.door import Door
from fleet_api.errors import BadRequest, FleetError
from fleet_api.paths import agent_paths

from fleet_agent.commands.run import parse
from fleet_agent.keeper.folders import keeper_of

RUNS = 0
BAD_USE = 2
NONE_RUNS = 3
NOT_ANSWERING = 4
_ANSWER_SECONDS = 5.0


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the pid of the agent.

    The exit code is as an init script's `status` has it: 0 it runs and answers, 3 none runs, 4 it runs and
    does not answer, or may not be looked at; 2 for bad use.
    """
    try:
        options = parse(arguments, "pid", {"--state-dir": "state_dir"})
        state_dir = options.state_dir or environ.get("FLEET_STATE_DIR")
        paths = agent_paths(state_dir, os.geteuid(), environ)
        keeper = keeper_of(paths)
        if keeper is None:
            sys.stderr.write(f"no agent runs with the state folder {paths.state}\n")
            return NONE_RUNS
        os.close(keeper[1])
        with Door.connect(paths.door, _ANSWER_SECONDS) as door:
            door.request("ping", timeout_seconds=_ANSWER_SECONDS)
    except FleetError as error:
        sys.stderr.write(f"fleet-agent: {error.message} ({error.hint})\n")
        return BAD_USE if isinstance(error, BadRequest) else NOT_ANSWERING
    sys.stdout.write(f"{keeper[0]}\n")
    return RUNS
