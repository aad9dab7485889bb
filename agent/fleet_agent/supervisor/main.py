"""Where a supervisor begins: the composition of its rooms. Started by the keeper, never by hand."""

import os
import resource
import socket
import sys
import time
from contextlib import suppress

from fleet_api.errors import FleetError
from fleet_api.paths import agent_paths

from fleet_agent.core.model import Now
from fleet_agent.supervisor.active import ActiveConfig, ConfigurationBroken
from fleet_agent.supervisor.agent import Agent
from fleet_agent.supervisor.loop import Loop
from fleet_agent.supervisor.world import World

CANNOT_START = 2


def main(arguments: list[str]) -> int:
    """Supervise until the keeper's link ends; returns the exit code."""
    # The gateway's key passes through here: it must not end in a file of what was in memory.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    options = dict(zip(arguments[::2], arguments[1::2], strict=True))
    link_fd = int(options["--link-fd"])
    for fd in (link_fd, link_fd + 1):
        # Link and lock end with us: the trial of another version must not make the next keeper wait.
        with suppress(OSError):
            os.set_inheritable(fd, False)
    paths = agent_paths(options.get("--state-dir"), os.geteuid(), os.environ)
    world = World(
        clock=lambda: Now(time.monotonic(), time.time()),
        new_id=lambda: os.urandom(8).hex(),
        environ=os.environ,
        host_name=socket.gethostname(),
        state_dir=options.get("--state-dir", ""),
    )
    active = ActiveConfig(options["--config"], paths.runtime, world.environ, world.host_name, world.new_id)
    loop = Loop(time.monotonic)
    agent = Agent(loop, world, paths, active, link_fd)
    try:
        loop.run()
    except ConfigurationBroken:
        return CANNOT_START
    except (FleetError, OSError) as error:
        if agent.has_begun:
            raise
        hint = getattr(error, "hint", "")
        print(f"fleet-agent: {error}" + (f" ({hint})" if hint else ""), file=sys.stderr)  # noqa: T201
        return CANNOT_START
    finally:
        agent.close()
    return 0


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    # Our successor waits for our end to begin; taking every object apart would keep it waiting.
    os._exit(exit_code)
