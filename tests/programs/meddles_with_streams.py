"""Does to its own streams whatever their owner may do, and goes on."""

import fcntl
import os
import time

F_SETPIPE_SZ = 1031

for fd in (0, 1, 2):
    os.fchmod(fd, 0)
    fcntl.fcntl(fd, F_SETPIPE_SZ, 4096)
    os.set_blocking(fd, False)
try:
    while True:
        os.write(0, b"x" * 4096)
except BlockingIOError:
    pass
end = time.monotonic() + 0.5
while time.monotonic() < end:
    for stream in (1, 2):
        try:
            os.write(stream, b"mine\n" * 100)
            # What it takes back itself, nobody else gets; whoever reads beside it must not wait for it.
            os.read(stream, 4096)
        except BlockingIOError:
            continue
os.set_blocking(1, True)
fcntl.fcntl(1, F_SETPIPE_SZ, 65536)
os.write(1, b"\nmeddled\n")
while True:
    time.sleep(3600)
