"""Leaves a process of its own session behind, which holds the streams, and ends: forks_and_leaves.py NAME.

The one that stays first says its pid, then prints numbered lines until somebody kills it.
"""

import os
import sys
import time

name = sys.argv[1]
if os.fork():
    sys.exit(0)
os.setsid()
os.write(1, b"%s pid %d\n" % (name.encode(), os.getpid()))
number = 0
while True:
    os.write(1, b"%s %d\n" % (name.encode(), number))
    number += 1
    time.sleep(0.01)
