"""Writes numbered lines to stdout and stderr in turn, and ends: alternates.py COUNT."""

import os
import sys

for number in range(int(sys.argv[1])):
    os.write(1 + number % 2, b"%d\n" % number)
