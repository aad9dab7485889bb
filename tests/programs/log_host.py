"""A process that hosts the log thread and nothing else, so that a test can kill it.

    log_host.py RUNTIME STATE LOG MAXBYTES BACKUPS STRIP CRASH FD...

Reads each inherited FIFO descriptor into LOG (`{}` in it is the number of the stream) until standard
input says `end`. CRASH is `STEP:N`: die at the N-th passing of that step.
"""

import os
import signal
import sys

from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.worker import LogWorker


def main() -> None:
    runtime, state, log, maxbytes, backups, strip, crash = sys.argv[1:8]
    step, _, ordinal = crash.partition(":")
    left = int(ordinal or 0)

    def crash_at(passed: str) -> None:
        nonlocal left
        if passed == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    worker = LogWorker(runtime, state, lambda: None, lambda: os.urandom(8).hex(), crash_at)
    worker.start()
    for number, fd in enumerate(sys.argv[8:]):
        spec = LogSpec(log.format(number), maxbytes=int(maxbytes), backups=int(backups))
        worker.open_run(f"p:{number}", 1, {"stdout": int(fd)}, {"stdout": spec}, strip == "1")
    os.write(1, b"up\n")
    asked = os.read(0, 100)
    if asked:
        worker.stop(10.0)
        for result in worker.results():
            os.write(1, f"{result}\n".encode())


main()
