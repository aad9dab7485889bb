"""Prints one line of JSON about itself: what a child finds when it starts."""

import json
import os
import resource
import sys

fds = sorted(int(name) for name in os.listdir("/proc/self/fd"))
with open("/proc/self/status", encoding="ascii") as file:
    status = dict(line.split(":", 1) for line in file)
with open("/proc/self/cmdline", encoding="utf-8") as file:
    command = file.read()
report = {
    # The folder was open while it was listed.
    "fds": [fd for fd in fds if os.path.exists(f"/proc/self/fd/{fd}")],
    "nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
    # Without 32 and 33, which belong to the C library: its posix_spawn (that of make) leaves them ignored.
    "signals": {key: int(status[key], 16) & ~(0b11 << 31) for key in ("SigBlk", "SigIgn")},
    "uids": os.getresuid(),
    "gids": os.getresgid(),
    "groups": os.getgroups(),
    "cwd": os.getcwd(),
    "group_leader": os.getpgrp() == os.getpid(),
    "umask": os.umask(0),
    "argv0": command.split("\0")[0],
    "environment": dict(os.environ),
    "stderr_is_stdout": os.fstat(1).st_ino == os.fstat(2).st_ino,
}
with open("/dev/stdout", "w", encoding="utf-8") as stdout:
    stdout.write(json.dumps(report) + "\n")
sys.exit(0)
