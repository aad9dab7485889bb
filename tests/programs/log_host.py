"""Processes that host the log thread and nothing else, one after the other, so that a test can kill them.

    log_host.py RUNTIME STATE LOG MAXBYTES BACKUPS STRIP FD...

Each line of standard input starts one that reads the inherited FIFOs into LOG (`{}` in it is the number of
the FIFO) until SIGTERM. A line `STEP:N` makes it die at the N-th passing of that step. Prints `pid N` when it
is started and `ended STATUS` when it is gone. (Forked, since 150 starts of Python take their time.)
"""

import os
import signal
import sys

from fleet_agent.core.model import LogSpec
from fleet_agent.supervisor.logs.worker import LogWorker


def host(crash: str) -> None:
    runtime, state, log, maxbytes, backups, strip = sys.argv[1:7]
    step, _, ordinal = crash.partition(":")
    left = int(ordinal or 0)

    def crash_at(passed: str) -> None:
        nonlocal left
        if passed == step:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    worker = LogWorker(runtime, state, lambda: None, lambda: os.urandom(8).hex(), lambda *_: None, crash_at)
    worker.start()
    for number, fd in enumerate(sys.argv[7:]):
        spec = LogSpec(log.format(number), maxbytes=int(maxbytes), backups=int(backups))
        worker.open_run(f"p:{number}", 1, {"stdout": int(fd)}, {"stdout": spec}, strip == "1")
    signal.sigwait({signal.SIGTERM})
    worker.stop(20.0)


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            host(line.strip())
            os._exit(0)
        os.write(1, f"pid {pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(1, f"ended {os.waitstatus_to_exitcode(status)}\n".encode())


main()
