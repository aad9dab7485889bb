"""Writes ten numbered lines a second."""

import itertools
import time

for number in itertools.count():
    print(f"line {number}", flush=True)
    time.sleep(0.1)
