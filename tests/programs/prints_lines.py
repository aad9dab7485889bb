"""Prints numbered lines flat out: prints_lines.py FIFO COUNT [PREFIX]. Lines differ in length."""

import os
import sys


def main() -> None:
    fd = os.open(sys.argv[1], os.O_RDWR)
    prefix = sys.argv[3] if len(sys.argv) > 3 else ""
    for first in range(0, int(sys.argv[2]), 25):
        lines = [f"{prefix}{number:09d} {'x' * (number * 7 % 60)}\n" for number in range(first, first + 25)]
        data = "".join(lines).encode()
        while data:
            data = data[os.write(fd, data) :]


main()
