"""The child of all benchmarks where there is no C compiler; does what `child.c` says."""

import time

BEGAN = time.monotonic()

import os  # noqa: E402 - the clock is read first
import signal  # noqa: E402
import sys  # noqa: E402

CHUNK = (b"x" * 127 + b"\n") * 32


def tell(what: str, at: float) -> None:
    """Put one act into the FIFO."""
    fd = os.open(sys.argv[1], os.O_WRONLY)
    os.write(fd, f"{what} {sys.argv[2]} {os.getpid()} {at:.9f}\n".encode("ascii"))
    os.close(fd)


def write_all(count: int, rate: float) -> None:
    """Write `count` bytes, `rate` of them a second, or as fast as they are taken."""
    due = time.monotonic()
    while count > 0:
        done = os.write(1, CHUNK[:count])
        count -= done
        if rate:
            due += done / rate
            time.sleep(max(0.0, due - time.monotonic()))


tell("began", BEGAN)
while len(sys.argv) < 6:
    signal.pause()
write_all(int(sys.argv[4]), float(sys.argv[5]))
tell("ended", time.monotonic())
