"""`make chaos`: so many rounds from a seed, on several agents side by side; ends at the first that fails.

    run.py [--rounds N] [--seed S] [--jobs J] [--episode E]

Prints the seed, so that the same can be played again; `--episode` plays one episode of it alone. A failure
prints what was wrong with the last acts before it, and leaves the agent's folder.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from chaos.life import Life
from chaos.plan import ROUNDS_PER_EPISODE, episode
from real.upgrades import other_version

ROUNDS = 1000


def play(seed: int, number: int, rounds: int, folder: Path) -> str:
    """Play one episode in a folder that is removed when all went well; what went wrong, in words."""
    plan = episode(seed, number, rounds)
    folder.mkdir(parents=True)
    life = Life(plan, folder, the_other_version(folder.parent))
    at = -1
    try:
        with life:
            for at in range(rounds):
                life.play(at)
            life.finish()
    except Exception as error:
        head = f"seed {seed}, episode {number}, round {at}; see {folder}"
        return f"{head}\n{type(error).__name__}: {error}\n{life.facts()}"
    shutil.rmtree(folder)
    return ""


def the_other_version(folder: Path) -> Path:
    """One for all episodes of this folder; another keeper, too."""
    venv = folder / "venv"
    return venv if venv.exists() else other_version(folder, keeper="import os as _of_another_version")


def play_apart(seed: int, number: int, rounds: int, folder: Path) -> str:
    """As `play`, in a process of its own."""
    options = {"--seed": seed, "--episode": number, "--rounds": rounds, "--folder": folder}
    words = [word for option, value in options.items() for word in (option, str(value))]
    done = subprocess.run(
        [sys.executable, __file__, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout.decode() or f"it ended with {done.returncode}"


def run(seed: int, rounds: int, jobs: int, folder: Path) -> str:
    """Play until one fails or the rounds are over; what went wrong, in words."""
    the_other_version(folder)
    number, left, done = 0, rounds, 0
    began = time.monotonic()
    pending: dict[Future[str], int] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            while left > 0 and len(pending) < jobs:
                count = min(left, ROUNDS_PER_EPISODE)
                pending[pool.submit(play_apart, seed, number, count, folder / f"episode-{number}")] = count
                left -= count
                number += 1
            if not pending:
                return ""
            for future in wait(pending, return_when=FIRST_COMPLETED).done:
                done += pending.pop(future)
                if problem := future.result():
                    return problem
            print(f"{done} rounds in {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(prog="make chaos ARGS=...")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--jobs", type=int, default=3)
    parser.add_argument("--episode", type=int, help="play this one alone")
    parser.add_argument("--folder", type=Path, help="where that is played")
    asked = parser.parse_args()
    if asked.episode is not None:
        folder = asked.folder or Path(tempfile.mkdtemp(prefix="chaos."), "episode")
        problem = play(asked.seed, asked.episode, asked.rounds or ROUNDS_PER_EPISODE, folder)
    else:
        folder = Path(tempfile.mkdtemp(prefix="chaos."))
        rounds = asked.rounds or ROUNDS
        print(f"seed {asked.seed}, {rounds} rounds, in {folder}", flush=True)
        problem = run(asked.seed, rounds, asked.jobs, folder)
    print(problem, end="\n" if problem else "")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
