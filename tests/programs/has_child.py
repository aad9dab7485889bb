"""Starts a child in its own process group and stays with it: has_child.py [deaf].

Both say their pids. With `deaf` both ignore SIGTERM.
"""

import os
import signal
import sys

if sys.argv[1:] == ["deaf"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
who = "parent" if os.fork() else "child"
os.write(1, f"{who} {os.getpid()}\n".encode())
while True:
    signal.pause()
