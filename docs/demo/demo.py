"""`make demo`: a real fleet on loopback that shows what it does; `--once` checks each step and leaves."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import urllib.request
from functools import partial
from pathlib import Path

from demo_fleet import HOSTS, DemoFailed, Fleet, wait_until

SECOND_TERMINAL = """\
Try it from a second terminal:

    export FLEETCTL_CONFIG={config} PATH={bin}:$PATH
    fleetctl status --all-hosts
    fleetctl status 'worker:*' -H 'host[1-3]' -o wide
    fleetctl restart web -H @blue
    fleetctl tail -f logger -H 'host1,host2'
    fleetctl start stubborn -H host5
    fleetctl stop stubborn -H host5          # heeds no SIGTERM: killed after 2 s
    fleetctl hosts
    fleet-agent check {folder}/host1/agent.conf
"""


def main(arguments: list[str]) -> int:
    """Run the demo; returns the exit code."""
    is_once = "--once" in arguments
    folder = Path(tempfile.mkdtemp(prefix="fleet-demo-"))
    fleet = Fleet(folder)
    left = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: left.set())
    code = 0
    try:
        say(f"Starting {HOSTS} agents and a controller in {folder}, with certificates of their own CA")
        fleet.start()
        show_everything(fleet, left)
        if not is_once and not left.is_set():
            bin_folder = Path(sys.executable).parent
            print("\n" + SECOND_TERMINAL.format(config=fleet.client_config, bin=bin_folder, folder=folder))
            print("Ctrl-C ends the demo and everything it started.", flush=True)
            left.wait()
    except DemoFailed as failure:
        print(f"demo: {failure}", file=sys.stderr)
        code = 1
    finally:
        say("Ending everything")
        fleet.end()
        survivors = fleet.survivors()
        for pid in survivors:
            print(f"demo: process {pid} was left behind", file=sys.stderr)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
    if survivors:
        code = 1
    if code == 0:
        print("Nothing is left behind.", flush=True)
    return code


def show_everything(fleet: Fleet, left: threading.Event) -> None:
    """The steps, each checked."""
    for step in (show_status, show_web, show_worker, show_supervisor, show_stop):
        if left.is_set():
            return
        step(fleet)


def show_status(fleet: Fleet) -> None:
    """The whole fleet in one command."""
    say("The whole fleet in one command (`crasher` is meant to be FATAL: exit code 3 says so)")
    for host in fleet.hosts:
        wait_until(partial(is_settled, fleet, host), f"{host} has settled")
    wait_until(lambda: "UNREACHABLE" not in run_status(fleet), "the controller is connected to all")
    print(run_status(fleet), end="", flush=True)


def run_status(fleet: Fleet) -> str:
    """`fleetctl status --all-hosts`, whatever it says."""
    return fleet.fleetctl("status", "--all-hosts", expect=(0, 3, 4, 6))


def is_settled(fleet: Fleet, host: str) -> bool:
    """Whether every program of a host is where it is meant to be."""
    states = {name: row["state"] for name, row in fleet.rows(host).items()}
    crasher = states.pop("crasher:crasher", "")
    return crasher == "FATAL" and len(states) == 6 and set(states.values()) == {"RUNNING"}


def show_web(fleet: Fleet) -> None:
    """Every host's web server answers at its own address."""
    say("Every host's web server answers")
    for host in fleet.hosts:
        url = f"http://{fleet.addresses[host]}:{fleet.web_ports[host]}/"
        with urllib.request.urlopen(url, timeout=10) as answer:
            text = answer.read().decode().strip()
        if text != "Hello world":
            raise DemoFailed(f"{url} answers {text!r}")
        print(f"{url} {text}", flush=True)


def show_worker(fleet: Fleet) -> None:
    """A killed worker is back before one can look."""
    host, name = fleet.hosts[0], "worker:worker_01"
    old = fleet.rows(host)[name]["pid"]
    say(f"kill -9 {old}: a worker of {host}")
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: fleet.rows(host)[name]["pid"] not in (0, old), "the worker is back")
    wait_until(lambda: fleet.rows(host)[name]["state"] == "RUNNING", "the worker runs")
    print(fleet.fleetctl("status", "worker:*", "-H", host, "-o", "wide"), end="", flush=True)


def show_supervisor(fleet: Fleet) -> None:
    """The part that decides is killed, and no program notices."""
    host = fleet.hosts[1]
    before = {name: row["pid"] for name, row in fleet.rows(host).items()}
    supervisor = fleet.supervisor_pid(host)
    say(f"kill -9 {supervisor}: the supervisor of {host}; no program may notice")
    os.kill(supervisor, signal.SIGKILL)
    after = {name: row["pid"] for name, row in fleet.rows(host).items()}
    if fleet.supervisor_pid(host) == supervisor:
        raise DemoFailed("the supervisor was not replaced")
    for name, pid in before.items():
        print(f"{name:30} pid {pid} before, {after[name]} after")
    if after != before:
        raise DemoFailed("a pid changed")
    # On a busy machine its next gateway may take a few seconds.
    wait_until(
        lambda: "RUNNING" in fleet.fleetctl("status", "web", "-H", host, expect=(0, 4)),
        f"the controller sees {host} again",
    )
    print("No pid changed, and the controller sees the host as before.", flush=True)


def show_stop(fleet: Fleet) -> None:
    """A program that ignores SIGTERM is stopped all the same, on every host."""
    say("Stopping `stubborn`, which ignores SIGTERM, on all hosts at once")
    print(fleet.fleetctl("stop", "stubborn", "--all-hosts", "--yes"), end="", flush=True)
    for host in fleet.hosts:
        if fleet.rows(host)["stubborn:stubborn"]["state"] != "STOPPED":
            raise DemoFailed(f"stubborn of {host} is not stopped")


def say(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
