"""Runs a keeper in the state folder argv[1] whose supervisor is the command of the other arguments."""

import os
import resource
import sys

from fleet_agent.keeper import folders
from fleet_agent.keeper.keeper import Keeper
from fleet_api.errors import FleetError
from fleet_api.paths import agent_paths

hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
paths = agent_paths(sys.argv[1], os.geteuid(), os.environ)
try:
    locks = folders.prepare(paths)
except FleetError as error:
    sys.exit(str(error))
sys.exit(Keeper(paths.runtime, sys.argv[2:], locks.runtime, dict(os.environb)).run())
