"""Says that it is there, closes all its standard streams and stays."""

import os
import time

os.write(1, b"there\n")
for stream in (0, 1, 2):
    os.close(stream)
while True:
    time.sleep(3600)
