"""Starts a child while many files are open, and prints as JSON what came of it.

    spawn_among_files.py COUNT early|late [UID]

Spare descriptors are set aside before the COUNT files are opened, or after. The child may open 1024 files
and prints its own limit. A process of its own, since gRPC in that of the tests aborts under such a limit.
"""

import json
import os
import resource
import sys

from fleet_agent.keeper import spawn
from fleet_agent.link import messages

count, spares, *users = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_NOFILE, (int(count) + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
spare = spawn.Spare()
fds = [os.open(os.devnull, os.O_RDONLY) for _ in range(int(count))]
if spares == "late":
    spare = spawn.Spare()
request = messages.Spawn(
    "g:a",
    1,
    "/bin/sh",
    ["sh", "-c", "ulimit -n"],
    {},
    streams=["stdout"],
    nofile=1024,
    uid=int(users[0]) if users else None,
)
reading, writing = os.pipe()
outcome = spawn.start_child(request, [writing], dict(os.environb), spare)
os.close(writing)
answer = {"limit_is_as_before": resource.getrlimit(resource.RLIMIT_NOFILE) == limit}
if isinstance(outcome, int):
    with open(reading, closefd=False) as file:
        text = file.read()
    sys.stdout.write(json.dumps({**answer, "printed": text, "status": os.waitpid(outcome, 0)[1]}) + "\n")
else:
    sys.stdout.write(json.dumps({**answer, "failed_at": outcome.stage}) + "\n")
