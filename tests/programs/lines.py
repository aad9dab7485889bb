"""Writes numbered lines: lines.py NAME COUNT [PAUSE_SECONDS [EXIT_CODE]]; COUNT 0 goes on for ever."""

import os
import sys
import time

name, count = sys.argv[1], int(sys.argv[2])
pause = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
number = 0
while count == 0 or number < count:
    os.write(1, b"%s %d\n" % (name.encode(), number))
    number += 1
    if pause:
        time.sleep(pause)
sys.exit(int(sys.argv[4]) if len(sys.argv) > 4 else 0)
