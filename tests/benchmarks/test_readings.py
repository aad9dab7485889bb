"""What is read of a process is that process's own."""

import os
import subprocess
import sys

from readings import descriptors, is_alive


def test_a_process_is_alive_until_it_ends() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_alive(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(process.pid), "it is a zombie"
    process.communicate()
    assert not is_alive(process.pid)


def test_open_descriptors_are_counted() -> None:
    before = descriptors(os.getpid())
    with open(os.devnull, encoding="ascii"), open(os.devnull, encoding="ascii"):
        assert descriptors(os.getpid()) == before + 2
