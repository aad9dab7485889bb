"""Forks descendants and says their pids, one a line: plants_tree.py LEADER HOW...

LEADER is `obeys` or `ignores` SIGTERM. Each HOW is one descendant: words joined by `+` of child (stays a
child), setsid, orphan (its parent ends at once), ignores (SIGTERM), asks (it writes a file named after its
pid into the folder in TREE_FOLDER when SIGTERM comes, then ends).
"""

import os
import signal
import sys
import time


def stay(how: list[str]) -> None:
    if "setsid" in how:
        os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if "ignores" in how else signal.SIG_DFL)
    if "asks" in how:
        signal.signal(signal.SIGTERM, told)
    os.write(1, b"pid %d\n" % os.getpid())
    while True:
        time.sleep(3600)


def told(_number: int, _frame: object) -> None:
    with open(os.path.join(os.environ["TREE_FOLDER"], str(os.getpid())), "w") as file:
        file.write("SIGTERM")
    os._exit(0)


for words in sys.argv[2:]:
    how = words.split("+")
    if os.fork() == 0:
        if "orphan" in how and os.fork():
            os._exit(0)
        stay(how)
    if "orphan" in how:
        os.wait()
stay(["ignores"] if sys.argv[1] == "ignores" else [])
