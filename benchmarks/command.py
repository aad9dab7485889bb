"""The one command that every benchmark is: rounds, figures, verdicts."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import fleet_agent
import fleet_api
import fleet_cli
from daemon import measured_environ
from figures import Verdict
from readings import machine

COMPILE_SECONDS = 120.0


class Benchmark(NamedTuple):
    """`measure(rounds)` prints its figures and returns what holds. `question` in a line."""

    name: str
    question: str
    rounds: int
    measure: Callable[[int], list[Verdict]]


def play(benchmarks: Sequence[Benchmark], rounds: int | None) -> list[Verdict]:
    """Measure one after the other; print each verdict below its figures, and return all."""
    verdicts: list[Verdict] = []
    compile_packages()
    for benchmark in benchmarks:
        print(f"{benchmark.name}: {benchmark.question}\n  on {machine()}", flush=True)
        found = benchmark.measure(rounds or benchmark.rounds)
        for verdict in found:
            print(f"  {verdict}")
        print(f"  load afterwards: {machine().rpartition('load ')[2]}\n", flush=True)
        verdicts += found
    return verdicts


def compile_packages() -> None:
    """Compile what is measured, as an installer does: a supervisor that has to is larger ever after."""
    folders = [str(Path(str(package.__file__)).parent) for package in (fleet_agent, fleet_api, fleet_cli)]
    argv = [sys.executable, "-m", "compileall", "-q", *folders]
    subprocess.run(argv, env=measured_environ(), timeout=COMPILE_SECONDS, check=False)


def main(benchmarks: Sequence[Benchmark], arguments: Sequence[str]) -> int:
    """Measure what the arguments name, or all; 1 when `--strict` is given and a target is missed."""
    parser = argparse.ArgumentParser(description="Measure fleet-agent beside supervisord.")
    if len(benchmarks) > 1:
        parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(b.name for b in benchmarks))
    parser.add_argument("--rounds", type=int, help="how often both are measured, in turns")
    parser.add_argument("--strict", action="store_true", help="end with 1 when a target is missed")
    options = parser.parse_args(arguments)
    names: list[str] = getattr(options, "names", []) or [benchmark.name for benchmark in benchmarks]
    by_name = {benchmark.name: benchmark for benchmark in benchmarks}
    for name in names:
        if name not in by_name:
            parser.error(f"there is no benchmark {name!r}; there are {', '.join(by_name)}")
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Unwind, so that nothing of ours stays behind.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    verdicts = play([by_name[name] for name in names], options.rounds)
    missed = [verdict for verdict in verdicts if not verdict.holds]
    if len(names) > 1:
        print(f"{len(verdicts) - len(missed)} of {len(verdicts)} targets hold")
        for verdict in missed:
            print(f"  {verdict}")
    return 1 if missed and options.strict else 0
