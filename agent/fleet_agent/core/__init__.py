"""Decides, and touches nothing: no I/O, no clock, no dice."""
