"""Writes numbered lines to stdout until it is killed; each is one write."""

import os

number = 0
while True:
    os.write(1, b"%d\n" % number)
    number += 1
