"""`fleet-agent stop`, `detach` and `leave`: three ways to end the agent of this host.

They tell the keeper by a signal, which it heeds even when its supervisor is stuck, and wait until it has
ended. Called by `main`, and by the unit and the init script.
"""

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Mapping, Sequence

from fleet_api.errors import BadRequest, FleetError
from fleet_api.paths import agent_paths

from fleet_agent.commands.run import parse
from fleet_agent.host.going_down import ask_host, is_going_down
from fleet_agent.keeper.folders import FOLDERS, keeper_of

USAGE = """\
usage: fleet-agent stop|detach|leave [--state-dir DIR]

  stop     every program is stopped in order, then the agent ends
  detach   the agent ends and the programs run on; the next `fleet-agent run` adopts them
  leave    as stop when this host is going down, else as detach: for service managers

Each waits until the agent has ended.

exit codes: 0 no agent runs here (any more), 1 not done, the reason is told, 2 bad use
"""
DONE = 0
NOT_DONE = 1
BAD_USE = 2
INTERRUPTED = 130


def run(how: str, arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """End the agent that the arguments mean; the exit code."""
    if any(word in ("-h", "--help") for word in arguments):
        sys.stdout.write(USAGE)
        return DONE
    try:
        options = parse(arguments, how, {"--state-dir": "state_dir"})
        state_dir = options.state_dir or environ.get("FLEET_STATE_DIR")
        paths = agent_paths(state_dir, os.geteuid(), environ)
        keeper = keeper_of(paths)
    except FleetError as error:
        sys.stderr.write(f"fleet-agent: {error.message} ({error.hint})\n")
        return BAD_USE if isinstance(error, BadRequest) else NOT_DONE
    if keeper is None:
        sys.stdout.write(f"no agent runs with the state folder {paths.state}\n")
        return DONE
    pid, pidfd = keeper
    try:
        return _end(how, pid, pidfd, paths.runtime, environ)
    except KeyboardInterrupt:
        sys.stderr.write(f"fleet-agent {how}: no longer waits; the agent (pid {pid}) goes on ending\n")
        return INTERRUPTED
    finally:
        os.close(pidfd)


def _end(how: str, pid: int, pidfd: int, runtime: str, environ: Mapping[str, str]) -> int:
    reason = ""
    if how == "leave":
        reason = is_going_down(environ, os.path.isdir("/run/systemd/system"), ask_host)
        how = "stop" if reason else "detach"
    number = signal.SIGTERM if how == "stop" else signal.SIGUSR1
    if how == "stop":
        sys.stdout.write(f"stopping everything in order{', since ' + reason if reason else ''}\n")
        sys.stdout.flush()
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, number)
    select.select([pidfd], [], [])
    if how == "stop" and _has_runs(runtime):
        sys.stderr.write(
            f"fleet-agent: the agent (pid {pid}) has ended before everything was stopped"
            " (fleet-agent run finds what is left)\n"
        )
        return NOT_DONE
    done = "everything is stopped" if how == "stop" else "detached, the programs run on"
    sys.stdout.write(f"{done}; the agent (pid {pid}) has ended\n")
    return DONE


def _has_runs(runtime: str) -> bool:
    """Whether an agent that has ended left runs on record that have not."""
    folder = os.path.join(runtime, FOLDERS[1])
    try:
        records = [os.path.join(folder, name) for name in os.listdir(folder)]
    except FileNotFoundError:
        return False
    for path in records:
        try:
            with open(path, encoding="utf-8") as file:
                if json.load(file).get("status") is None:
                    return True
        except (OSError, ValueError, AttributeError):
            continue
    return False
