"""`fleet-agent upgrade`: has another version take over from the agent that runs. Called by `main`.

It asks at the local door and waits until the new version serves, or the old one says why it does not.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from fleet_api.door import AWAY, Door
from fleet_api.errors import BadRequest, FleetError, Unavailable
from fleet_api.paths import agent_paths

from fleet_agent.commands.run import parse

USAGE = """\
usage: fleet-agent upgrade [--to VENV] [--state-dir DIR]

Has another version take the place of the agent that runs: supervisor and gateway, and the keeper where its
code differs. No program is touched. The other version first tries to read the agent's state; if it cannot, or
if it does not start or dies young, the present one stays or comes back, and the reason is told.

  --to VENV         the virtual environment of the version to come; without it, that of this command
  --state-dir DIR   where the agent keeps its state, as for run

exit codes: 0 upgraded, 1 not upgraded, 2 bad use
"""

DONE = 0
NOT_UPGRADED = 1
BAD_USE = 2
TRIAL_SECONDS = 60.0
SWITCH_SECONDS = 60.0
_ASK_EVERY_SECONDS = 0.02


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Ask and wait; the exit code."""
    if any(word in ("-h", "--help") for word in arguments):
        sys.stdout.write(USAGE)
        return DONE
    try:
        options = parse(arguments, "upgrade", {"--to": "to", "--state-dir": "state_dir"})
        state_dir = options.state_dir or environ.get("FLEET_STATE_DIR")
        door = agent_paths(state_dir, os.geteuid(), environ).door
        return _upgrade(door, program(options.to))
    except FleetError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"fleet-agent upgrade: {error.message}{hint}\n")
        return BAD_USE if isinstance(error, BadRequest) else NOT_UPGRADED


def program(venv: str) -> str:
    """The interpreter of a virtual environment, or of this one."""
    return os.path.join(os.path.abspath(venv), "bin", "python") if venv else sys.executable


def _upgrade(path: str, python: str) -> int:
    key = os.urandom(8).hex()
    began = time.monotonic()
    with Door.connect(path) as door:
        context = {"key": key, "operation_id": key}
        upgrade = door.request("upgrade", timeout_seconds=TRIAL_SECONDS, python=python, context=context)
    parts = "supervisor, gateway and keeper" if upgrade["replaces_keeper"] else "supervisor and gateway"
    versions = f"from {upgrade['from_version']} to {upgrade['to_version']}"
    sys.stdout.write(f"upgrading {versions}: {parts}\n")
    sys.stdout.flush()
    upgrade = _wait(path, key)
    if upgrade["result"] != "done":
        sys.stderr.write(f"fleet-agent upgrade: not upgraded: {upgrade['reason']}\n")
        return NOT_UPGRADED
    sys.stdout.write(f"upgraded {versions} in {time.monotonic() - began:.1f} s; every program runs on\n")
    return DONE


def _wait(path: str, key: str) -> dict[str, Any]:
    """What became of it, asked until that is known.

    Raises: FleetError when the agent stays away.
    """
    end = time.monotonic() + SWITCH_SECONDS
    while True:
        try:
            with Door.connect(path) as door:
                upgrade = door.request("upgrade_result", timeout_seconds=SWITCH_SECONDS, key=key)
            if upgrade["result"] != "switching":
                return upgrade
        except Unavailable as error:
            if error.code not in AWAY or time.monotonic() > end:
                raise
        if time.monotonic() > end:
            return {"result": "failed", "reason": f"it was not over within {SWITCH_SECONDS:g} s"}
        time.sleep(_ASK_EVERY_SECONDS)
