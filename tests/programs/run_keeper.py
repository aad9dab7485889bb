"""Runs a keeper in the state folder argv[1] whose supervisor is the command of argv[3:].

argv[2] is the time in seconds that children have after SIGTERM when no supervisor stays up."""

import os
import resource
import sys

from fleet_agent.commands.run import version_of
from fleet_agent.keeper import folders
from fleet_agent.keeper.handover import Version
from fleet_agent.keeper.keeper import Keeper
from fleet_agent.keeper.notify import ServiceManager
from fleet_api.errors import FleetError
from fleet_api.paths import agent_paths

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
paths = agent_paths(sys.argv[1], os.geteuid(), os.environ)
try:
    locks = folders.prepare(paths)
except FleetError as error:
    sys.exit(str(error))
manager = ServiceManager(os.environ, os.getpid())
keeper = Keeper(
    paths.runtime,
    Version(sys.argv[3:], version_of(sys.executable, "/dev/null", sys.argv[1]).keeper),
    locks,
    dict(os.environb),
    manager,
    kill_seconds=float(sys.argv[2]),
)
keeper.begin()
sys.exit(keeper.hold())
