"""A worker that waits for work."""

import time

while True:
    time.sleep(3600)
