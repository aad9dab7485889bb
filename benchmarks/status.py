"""Status: all rows of 1000 programs over a connection that stays open, and the whole command.

Warm, both clients are Python programs that get rows as objects. As a command, fleetctl tells of 1000
programs where supervisorctl tells of 100.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import figures
from command import Benchmark, main
from daemon import BIN, Daemon, Programs, measured_environ
from figures import Verdict, at_least, at_most, number, times
from fleet_daemon import FleetAgent
from stage import Stage
from supervisord_daemon import Supervisord

MANY = 1000
FEW = 100
OUR_CALLS = 20
THEIR_CALLS = 3
COMMANDS = 5
COMMAND_SECONDS = 60.0
SOONER = 40.0


def ms_of(act: Callable[[], Any], check: Callable[[Any], bool]) -> float:
    """Milliseconds that an act takes.

    Raises: ValueError when its result is not as it should be.
    """
    before = time.perf_counter()
    result = act()
    taken = (time.perf_counter() - before) * 1e3
    if not check(result):
        raise ValueError(f"not the answer that is measured: {str(result)[:500]}")
    return taken


def warm_ours(fleet: FleetAgent) -> list[float]:
    """Status of all over one connection to the door."""
    with fleet.door() as door:
        return [
            ms_of(lambda: door.request("status", terms=[]), lambda answer: len(answer["processes"]) == MANY)
            for _ in range(OUR_CALLS)
        ]


def warm_theirs(peer: Supervisord) -> list[float]:
    """getAllProcessInfo over one connection to the unix socket."""
    return [
        ms_of(lambda: peer.ask("getAllProcessInfo"), lambda rows: len(rows) == MANY)
        for _ in range(THEIR_CALLS)
    ]


def command_ms(argv: list[str], lines: int) -> float:
    """Milliseconds of a whole command that prints so many running programs."""

    def run() -> str:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
            env=measured_environ(),
        )
        return done.stdout.decode() or done.stderr.decode(errors="replace")

    return ms_of(run, lambda text: text.count("RUNNING") == lines)


def measure(rounds: int) -> list[Verdict]:
    """Three daemons side by side, asked in turns."""
    with Stage() as stage:
        fleet = stage.fleet_agent(Programs(MANY))
        many, few = stage.supervisord(Programs(MANY)), stage.supervisord(Programs(FEW))
        everyone: list[Daemon] = [fleet, many, few]
        for daemon in everyone:
            daemon.start_all()
            daemon.settle()
        ours = [str(BIN / "fleetctl"), "status", "--state-dir", fleet.state_dir]
        theirs = [str(BIN / "supervisorctl"), "-c", str(few.config), "status"]
        many_argv = [str(BIN / "supervisorctl"), "-c", str(many.config), "status"]
        warm: list[tuple[float, float]] = []
        commands: list[tuple[float, float, float]] = []
        for _ in range(rounds):
            warm.append((figures.median(warm_ours(fleet)), figures.median(warm_theirs(many))))
            taken = [
                (command_ms(ours, MANY), command_ms(theirs, FEW), command_ms(many_argv, MANY))
                for _ in range(COMMANDS)
            ]
            commands.append(
                (
                    figures.median([one[0] for one in taken]),
                    figures.median([one[1] for one in taken]),
                    figures.median([one[2] for one in taken]),
                )
            )
    return [*tell_warm(warm), *tell_commands(commands)]


def tell_warm(rounds: list[tuple[float, float]]) -> list[Verdict]:
    """The table of the open connection."""
    ratios = [theirs / ours for ours, theirs in rounds]
    rows = [
        [str(turn), number(ours), number(theirs), times(theirs / ours)]
        for turn, (ours, theirs) in enumerate(rounds, 1)
    ]
    headers = ["round", "fleet-agent ms", "supervisord ms", "sooner"]
    print(f"  warm connection, {MANY} programs, medians\n{figures.table(headers, rows)}")
    return [at_least(f"warm status of {MANY}, sooner", figures.median(ratios), SOONER)]


def tell_commands(rounds: list[tuple[float, float, float]]) -> list[Verdict]:
    """The table of the whole commands."""
    rows = [
        [str(turn), number(ours), number(few), number(many), times(few / ours), times(many / ours)]
        for turn, (ours, few, many) in enumerate(rounds, 1)
    ]
    headers = [
        "round",
        f"fleetctl of {MANY}, ms",
        f"supervisorctl of {FEW}",
        f"of {MANY}",
        f"sooner than of {FEW}",
        f"than of {MANY}",
    ]
    print(f"  whole command, medians\n{figures.table(headers, rows)}", flush=True)
    share = figures.median([ours / few for ours, few, _ in rounds])
    return [at_most(f"fleetctl status of {MANY} to supervisorctl status of {FEW}", share, 1.0, "times")]


BENCHMARK = Benchmark("status", f"all rows of {MANY} programs, warm and as a command", 3, measure)

if __name__ == "__main__":
    sys.exit(main([BENCHMARK], sys.argv[1:]))
