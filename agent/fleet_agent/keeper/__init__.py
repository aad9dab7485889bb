"""Holds: the parent of every child, of the supervisor and of the gateway. No policy."""
