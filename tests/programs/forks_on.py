"""Passes its life on: each process forks the next in a session of its own and ends, for ten seconds."""

import os
import signal
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
end = time.monotonic() + 10
if os.fork():
    with open(os.path.join(os.environ["TREE_FOLDER"], "forking"), "w") as file:
        file.write("yes")
    while True:
        time.sleep(3600)
while time.monotonic() < end:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.001)
sys.exit(0)
