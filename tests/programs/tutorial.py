"""Lives through the tutorial in a mount, network and process namespace of its own: tutorial.py BIN < TEXT.

TEXT is the program's section. Prints one line of JSON: what was seen. Run as root, from `unshare`.
"""

import fcntl
import json
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

APP = """\
import http.server


class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"Hello world")


print("listening", flush=True)
http.server.HTTPServer(("", 8000), Hello).serve_forever()
"""
HOME = Path("/home/ubuntu/hello_world")
CONFIG = Path("/home/ubuntu/fleet-agent.conf")
SECONDS = 30.0

bin_folder = Path(sys.argv[1])
environ = {**os.environ, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def run(*arguments: str) -> dict:
    done = subprocess.run(
        [str(bin_folder / arguments[0]), *arguments[1:]],
        env=environ,
        check=False,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    return {"code": done.returncode, "out": done.stdout, "err": done.stderr}


def wait_for(look, what: str):
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        try:
            seen = look()
        except OSError:
            seen = None
        if seen:
            return seen
        time.sleep(0.05)
    sys.exit(f"not within {SECONDS} s: {what}")


def cover(folders: tuple[str, ...]) -> None:
    """Put empty folders in the place of these; what we run from stays where it is."""
    ours = {sys.prefix, sys.base_prefix, str(Path(__file__).resolve().parents[2]), *sys.path[1:]}
    ours = {
        path
        for path in ours
        if path.startswith(tuple(f"{folder}/" for folder in folders)) and os.path.isdir(path)
    }
    held = {path: os.open(path, os.O_PATH) for path in sorted(ours)}
    for folder in folders:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder], check=True)
    for path, fd in held.items():
        os.makedirs(path, exist_ok=True)
        subprocess.run(
            ["mount", "--no-canonicalize", "--bind", f"/proc/self/fd/{fd}", path], check=True, pass_fds=[fd]
        )


def make_world() -> None:
    cover(("/home", "/run", "/var/lib"))
    try:
        pwd.getpwnam("www-data")
    except KeyError:
        for name, line in (
            ("passwd", "www-data:x:33:33::/var/www:/usr/sbin/nologin"),
            ("group", "www-data:x:33:"),
        ):
            copy = Path("/run") / name
            copy.write_text(Path("/etc", name).read_text() + line + "\n")
            subprocess.run(["mount", "--bind", str(copy), f"/etc/{name}"], check=True)
    with socket.socket() as sock:
        request = struct.pack("16sh", b"lo", 1)  # IFF_UP
        fcntl.ioctl(sock, 0x8914, request)  # SIOCSIFFLAGS
    HOME.mkdir(parents=True)
    # Logs are opened by root; the page is served by www-data.
    (HOME / "app.py").write_text(APP)
    CONFIG.write_text(sys.stdin.read())


make_world()
seen: dict = {"check": run("fleet-agent", "check", str(CONFIG))}
with open("/home/ubuntu/stderr", "wb") as stderr:
    agent = subprocess.Popen(
        [str(bin_folder / "fleet-agent"), "run", "-c", str(CONFIG)],
        cwd="/home/ubuntu",
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=stderr,
        stderr=stderr,
    )
try:
    seen["page"] = wait_for(
        lambda: urllib.request.urlopen("http://127.0.0.1:8000/", timeout=5).read().decode(), "the page"
    )
    seen["status"] = wait_for(
        lambda: (found := run("fleetctl", "status")) and "RUNNING" in found["out"] and found, "running"
    )
    pid = int(run("fleetctl", "pid", "hello_world")["out"])
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    seen["uids"] = status["Uid"].split()
    seen["gids"] = status["Gid"].split()
    seen["command"] = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    seen["cwd"] = os.readlink(f"/proc/{pid}/cwd")
    seen["pid"] = pid
    seen["log"] = wait_for((HOME / "out.log").read_text, "the log")
    account = pwd.getpwnam("www-data")
    seen["account"] = [account.pw_uid, account.pw_gid]
finally:
    agent.send_signal(signal.SIGTERM)
    seen["end"] = agent.wait(SECONDS)
    seen["said"] = Path("/home/ubuntu/stderr").read_text()
print(json.dumps(seen))
