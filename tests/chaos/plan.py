"""What happens in an episode of chaos, from a seed alone: programs, operators' commands, kills.

An episode is one agent in a folder of its own; a round is half a second of it, after which everything is
checked. Two lanes of acts run beside each other: `commands` through the door, and `blows`.
"""

import random
from typing import NamedTuple

ROUNDS_PER_EPISODE = 25
KINDS = ("long", "loud", "short", "flash", "quiet", "stubborn", "forks", "family")
OFFICES = ("keeper", "supervisor", "gateway")
VERBS = (
    *("start", "start", "start", "stop", "stop", "restart", "restart", "restart"),
    *("signal", "tail", "enable", "disable", "upgrade", "upgrade"),
)
DETAILS = {"signal": ("HUP", "USR1"), "upgrade": ("same", "other")}
STOP_WAIT_SECONDS = 1


class Program(NamedTuple):
    """One program of an episode; `kind` as in `programs/chaotic.py`."""

    name: str
    kind: str
    autorestart: str
    startsecs: int
    is_redirected: bool
    maxbytes: int


class Command(NamedTuple):
    """What an operator asks, `pause` seconds after the answer to the command before.

    `detail` is the signal to send, or the version to upgrade to: same or other.
    """

    pause: float
    verb: str
    program: str
    wait: bool
    detail: str = ""


class Blow(NamedTuple):
    """SIGKILL (`kill`) or SIGSTOP for `seconds` (`freeze`) to offices, or SIGKILL to a program (`child`).

    `pause` seconds after the blow before. Where the keeper was killed, or asked to `detach`, the agent is
    started again after `seconds`.
    """

    pause: float
    what: str
    targets: tuple[str, ...]
    seconds: float = 0.0


class Round(NamedTuple):
    """What happens at the same time, before the next check."""

    commands: tuple[Command, ...]
    blows: tuple[Blow, ...]


class Episode(NamedTuple):
    """One agent's life."""

    seed: int
    number: int
    has_gateway: bool
    programs: tuple[Program, ...]
    rounds: tuple[Round, ...]


def episode(seed: int, number: int, rounds: int = ROUNDS_PER_EPISODE) -> Episode:
    """The same for the same arguments."""
    dice = random.Random(f"{seed} {number}")
    kinds = dice.sample(KINDS, dice.randint(3, 5))
    programs = tuple(_program(dice, f"p{index}", kind) for index, kind in enumerate(kinds))
    has_gateway = dice.random() < 0.3
    return Episode(
        seed, number, has_gateway, programs, tuple(_round(dice, programs, has_gateway) for _ in range(rounds))
    )


def _program(dice: random.Random, name: str, kind: str) -> Program:
    return Program(
        name,
        kind,
        dice.choice(("true", "true", "unexpected", "false")),
        dice.choice((0, 0, 1)),
        dice.random() < 0.3,
        dice.choice((0, 6_000, 6_000, 30_000)),
    )


def _round(dice: random.Random, programs: tuple[Program, ...], has_gateway: bool) -> Round:
    names = [program.name for program in programs]
    commands = tuple(_command(dice, names) for _ in range(dice.choice((0, 1, 1, 2, 3))))
    blows = tuple(_blow(dice, names, has_gateway) for _ in range(dice.choice((0, 1, 1, 1, 2, 3))))
    return Round(commands, blows)


def _command(dice: random.Random, names: list[str]) -> Command:
    verb = dice.choice(VERBS)
    pause = dice.choice((0.0, 0.0, 0.02, 0.1)) * dice.random()
    detail = dice.choice(DETAILS.get(verb, ("",)))
    return Command(pause, verb, dice.choice(names), dice.random() < 0.6, detail)


def _blow(dice: random.Random, names: list[str], has_gateway: bool) -> Blow:
    pause = dice.choice((0.0, 0.01, 0.05, 0.2, 0.4)) * dice.random()
    what = dice.choice(("kill", "kill", "kill", "kill", "freeze", "child", "detach"))
    if what == "child":
        return Blow(pause, what, (dice.choice(names),))
    if what == "detach":
        return Blow(pause, what, ("keeper",), 0.1 * dice.random())
    offices = OFFICES if has_gateway else OFFICES[:2]
    count = 1 if what == "freeze" else dice.choice((1, 1, 1, 2, len(offices)))
    targets = tuple(dice.sample(offices, count))
    return Blow(pause, what, targets, dice.choice((0.0, 0.02, 0.2)) * dice.random())
