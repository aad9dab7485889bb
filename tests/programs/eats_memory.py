"""Takes a hundred megabytes of memory, once a file is there: eats_memory.py FILE."""

import os
import sys
import time

while len(sys.argv) > 1 and not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
eaten = [bytes([number % 251]) * (1024 * 1024) for number in range(100)]
while eaten:
    time.sleep(3600)
