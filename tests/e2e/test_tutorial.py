"""The tutorial's program as it stands, misspelt key included, as root in namespaces of its own."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from real.agent import PROGRAMS
from real.fleet import BIN

TEXT = """\
[program:hello_world]
command=python3 app.py
directory=/home/ubuntu/hello_world
autostart=true
autorestart=true
startretries=3
strerr_logfile=/home/ubuntu/hello_world/out.log
stdout_logfile=/home/ubuntu/hello_world/out.log
user=www-data
"""
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]


def obstacle() -> str:
    """Why this machine cannot show it; empty where it can."""
    if os.geteuid() != 0:
        return "only root may make namespaces and change the user"
    if shutil.which(UNSHARE[0]) is None:
        return "there is no unshare (util-linux)"
    try_out = [*UNSHARE, "sh", "-c", "mount -t tmpfs tmpfs /home"]
    if subprocess.run(try_out, capture_output=True, check=False).returncode:
        return "no namespace can be made here"
    if shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") is None:
        return "there is no python3 that every user may run"
    return ""


@pytest.mark.root
def test_the_tutorial_runs_as_it_stands() -> None:
    if found := obstacle():
        pytest.skip(found)
    done = subprocess.run(
        [*UNSHARE, sys.executable, str(PROGRAMS / "tutorial.py"), str(BIN)],
        input=TEXT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)

    check = seen["check"]
    assert check["code"] == 1, check
    (warning,) = [line for line in check["out"].splitlines() if " warning: " in line or " error: " in line]
    assert ":7: warning: [program:hello_world] strerr_logfile:" in warning
    assert '"stderr_logfile"' in warning

    assert seen["page"] == "Hello world"
    assert seen["uids"] == [str(seen["account"][0])] * 4
    assert seen["gids"] == [str(seen["account"][1])] * 4
    assert seen["command"] == ["python3", "app.py"]
    assert seen["cwd"] == "/home/ubuntu/hello_world"
    assert seen["log"] == "listening\n"

    assert seen["status"]["code"] == 0
    line = r"hello_world {22}RUNNING   pid (\d+), uptime \d+:[0-5]\d:[0-5]\d\n"
    found_line = re.fullmatch(line, seen["status"]["out"])
    assert found_line, seen["status"]
    assert int(found_line[1]) == seen["pid"]

    assert seen["end"] == 0, seen["said"]
    assert "Traceback" not in seen["said"]
    assert "stderr_logfile" in seen["said"]
