"""A program with a life of its own, which writes down what is true of it: chaotic.py NAME FOLDER KIND SEED.

It takes the first free record FOLDER/NAME.<n> and notes there, in a mapping that outlives a SIGKILL, what
`chaos.records` reads back. Each line that it prints names record, stream and number. What it does is
decided by KIND, and by dice that SEED, NAME and <n> throw.
"""

import mmap
import os
import signal
import struct
import sys
import time
from binascii import crc32

# pid, start time in ticks, lines on stdout and stderr, SIGTERMs, other signals, intent (0 none, 1 exit,
# 2 signal), its value, errno of a failed write; then first and last act on the monotonic clock.
LAYOUT = struct.Struct("=9q2d")
COUNTS = struct.Struct("=q")
CLOCK = struct.Struct("=d")
OUT, ERR, TERMS, OTHERS, INTENT, VALUE, FAILED = (8 * index for index in range(2, 9))
LAST = 80


class Dice:
    """Numbers below a bound, the same every time."""

    def __init__(self, seed: str) -> None:
        self._state = seed.encode()

    def below(self, bound: int) -> int:
        self._state = b"%d" % crc32(self._state + b".")
        return int(self._state) // 7 % bound


class Life:
    """One life and its record."""

    def __init__(self, name: str, folder: str) -> None:
        self.number, fd = claim(name, folder)
        self.name = name
        os.ftruncate(fd, LAYOUT.size)
        self._map = mmap.mmap(fd, LAYOUT.size)
        os.close(fd)
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rpartition(b")")[2].split()[19])
        now = time.monotonic()
        LAYOUT.pack_into(self._map, 0, os.getpid(), ticks, *[0] * 7, now, now)
        self.is_told = False

    def add(self, at: int) -> None:
        COUNTS.pack_into(self._map, at, COUNTS.unpack_from(self._map, at)[0] + 1)
        CLOCK.pack_into(self._map, LAST, time.monotonic())

    def say(self, stream: int) -> None:
        """One line more on stdout (1) or stderr (2)."""
        at = OUT if stream == 1 else ERR
        number = COUNTS.unpack_from(self._map, at)[0]
        try:
            os.write(stream, b"%s %d %d %d\n" % (self.name.encode(), self.number, stream, number))
        except OSError as error:
            COUNTS.pack_into(self._map, FAILED, error.errno or -1)
        self.add(at)

    def end(self, intent: int, value: int) -> None:
        """Exit with a code (1) or by a signal (2), as noted."""
        COUNTS.pack_into(self._map, VALUE, value)
        COUNTS.pack_into(self._map, INTENT, intent)
        CLOCK.pack_into(self._map, LAST, time.monotonic())
        if intent == 1:
            os._exit(value)
        signal.signal(value, signal.SIG_DFL) if value != signal.SIGKILL else None
        os.kill(os.getpid(), value)
        time.sleep(60)

    def on_signal(self, number: int, _: object) -> None:
        self.add(TERMS if number == signal.SIGTERM else OTHERS)
        self.is_told = self.is_told or number == signal.SIGTERM


def claim(name: str, folder: str) -> tuple[int, int]:
    number = 0
    while True:
        try:
            return number, os.open(f"{folder}/{name}.{number}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1


def be_born(name: str, folder: str) -> Life:
    """The life of a descendant, which a signal ends without a word: its parent's record is not its own."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_DFL)
    return Life(f"{name}+", folder)


def help_out(name: str, folder: str, dice: Dice) -> None:
    """A descendant that writes into the same streams for a while."""
    if os.fork() == 0:
        life = be_born(name, folder)
        for _ in range(dice.below(40)):
            life.say(1)
            time.sleep(0.005)
        life.end(1, 0)


def leave_behind(name: str, folder: str) -> None:
    """A descendant in a session of its own, which outlives its parent for a while if nobody ends it."""
    parent = os.getpid()
    if os.fork() == 0:
        os.setsid()
        life = be_born(name, folder)
        life.say(1)
        left = 30
        while left > 0:
            left -= os.getppid() != parent
            time.sleep(0.05)
        life.end(1, 0)


def main() -> None:
    name, folder, kind, seed = sys.argv[1:5]
    life = Life(name, folder)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, life.on_signal)
    dice = Dice(f"{seed} {name} {life.number}")
    if kind == "forks":
        help_out(name, folder, dice)
    elif kind == "family":
        leave_behind(name, folder)
    lines = {"short": 3 + dice.below(60), "flash": dice.below(4)}.get(kind, sys.maxsize)
    life.say(1)
    for _ in range(lines):
        if life.is_told and kind != "stubborn":
            life.end(1, dice.below(3))
        if kind != "quiet":
            for _ in range(1 + (dice.below(12) if kind == "loud" or dice.below(12) == 0 else 0)):
                life.say(1 + dice.below(2))
        time.sleep((0.001, 0.004, 0.01, 0.02)[dice.below(4)])
    if dice.below(3) == 0:
        life.end(2, (signal.SIGKILL, signal.SIGABRT, signal.SIGUSR2)[dice.below(3)])
    life.end(1, (0, 0, 1, 3)[dice.below(4)])


main()
