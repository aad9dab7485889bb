"""leaves_a_holder.py FILE: ends at once, and leaves a process that keeps its output open; its pid in FILE."""

import os
import sys
import time

if os.fork() == 0:
    os.setsid()
    with open(f"{sys.argv[1]}.draft", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))
    os.rename(f"{sys.argv[1]}.draft", sys.argv[1])
    time.sleep(3600)
