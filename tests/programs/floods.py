"""Writes as fast as it can for so many seconds, says how much, and stays: floods.py SECONDS."""

import os
import sys
import time

block = (b"x" * 63 + b"\n") * 1024
end = time.monotonic() + float(sys.argv[1])
written = 0
while time.monotonic() < end:
    written += os.write(1, block[written % 64 :])
os.write(1, b"\nwrote %d\n" % written)
while True:
    time.sleep(3600)
