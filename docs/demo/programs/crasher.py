"""Crashes at birth, each time."""

import sys

sys.exit("cannot find my database")
