"""Decides what runs: state machines, timers, logs, events and the local door."""
